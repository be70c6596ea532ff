// SPDX-License-Identifier: Apache-2.0
// Steps of the optimizer and what belongs to them on arrays that no cache holds, each in turns with a loop that reads
// and writes the same arrays and only adds. Prints GB/s of both and their ratio; ends with 1 when the sum of squares or
// an update with moments in float32 reaches less than 0.8 of its loop. Moments in bfloat16 wait for their random
// numbers instead of memory, and are not judged. OMP_NUM_THREADS chooses the threads.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "kernels/optimizer/adamw.hpp"
#include "kernels/optimizer/sgd.hpp"
#include "kernels/optimizer/sum_of_squares.hpp"
#include "kernels/weights/store_weight.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

constexpr int kMatrices = 4, kRows = 3072, kColumns = 3072, kTurns = 9;
constexpr std::int64_t kValues = std::int64_t(kMatrices) * kRows * kColumns, kChunk = 4096;
constexpr double kLeastRatio = 0.8;

double seconds(const std::function<void()>& run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  exec().fence("bench::run");
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Whether `run`, which moves `bytes`, is fast enough beside `loop`, which moves the same.
bool compare(const std::string& name, double bytes, const std::function<void()>& run,
             const std::function<void()>& loop) {
  double run_s = std::numeric_limits<double>::infinity(), loop_s = run_s;
  for (int turn = 0; turn < kTurns; ++turn) {
    run_s = std::min(run_s, seconds(run));
    loop_s = std::min(loop_s, seconds(loop));
  }
  fmt::print("{:28} {:6.2f} GB/s, its loop {:6.2f} GB/s, ratio {:.2f}\n", name, bytes / run_s / 1e9,
             bytes / loop_s / 1e9, loop_s / run_s);
  return loop_s >= kLeastRatio * run_s;
}

/// body(first, end) for chunks of all values, shared by the threads.
template <class Body>
void for_chunks(const Body& body) {
  Kokkos::parallel_for(
      "m2::bench_loop", Kokkos::RangePolicy<ExecSpace>(exec(), 0, kValues / kChunk),
      KOKKOS_LAMBDA(std::int64_t chunk) { body(chunk * kChunk, (chunk + 1) * kChunk); });
}

/// to[i] += from[i], each array once, in integers of its size.
template <class To>
void add_to(To* __restrict__ to, const float* __restrict__ from, std::int64_t first, std::int64_t end) {
  for (std::int64_t i = first; i < end; ++i) to[i] = To(to[i] + To(from[i] > 0.0f));
}

template <class T>
View1D<T> zeros(const std::string& label) {
  return View1D<T>(Kokkos::view_alloc(exec(), label), kValues);
}

template <class M>
bool compare_updates(const std::string& dtype) {
  const View1D<float> g = zeros<float>("m2::bench_g"), p = zeros<float>("m2::bench_p");
  const View1D<M> m = zeros<M>("m2::bench_m"), v = zeros<M>("m2::bench_v");
  const View1D<std::int64_t> lost("m2::bench_lost", 1);
  fill_normal(exec(), {.seed = 1}, {}, 0, g);
  fill_normal(exec(), {.seed = 2}, {}, 0, p);
  using Integer = std::conditional_t<std::is_same_v<M, Bf16>, std::uint16_t, float>;
  const auto* const from = g.data();
  auto* const to_p = p.data();
  auto* const to_m = reinterpret_cast<Integer*>(m.data());
  auto* const to_v = reinterpret_cast<Integer*>(v.data());
  const auto loop_sgd = [=] {
    for_chunks([=](std::int64_t first, std::int64_t end) {
      add_to(to_p, from, first, end);
      add_to(to_m, from, first, end);
    });
  };
  const auto loop_adamw = [=] {
    for_chunks([=](std::int64_t first, std::int64_t end) {
      add_to(to_p, from, first, end);
      add_to(to_m, from, first, end);
      add_to(to_v, from, first, end);
    });
  };
  AdamWStep adamw_step{.weight_decay = 0.1};
  SgdStep sgd_step{.weight_decay = 0.1};
  const auto run_adamw = [&] {
    adamw<M>(exec(), adamw_step, g, p, m, v);
    ++adamw_step.step;
  };
  const auto run_counting = [&] { adamw<M>(exec(), adamw_step, g, p, m, v, lost); };
  const auto run_sgd = [&] {
    sgd<M>(exec(), sgd_step, g, p, m);
    ++sgd_step.step;
  };
  const double sgd_bytes = double(kValues) * (12 + 2 * sizeof(M)), adamw_bytes = sgd_bytes + kValues * 2.0 * sizeof(M);
  bool is_fast = compare("adamw, moments " + dtype, adamw_bytes, run_adamw, loop_adamw);
  is_fast = compare("adamw counting, " + dtype, adamw_bytes, run_counting, loop_adamw) && is_fast;
  return compare("sgd, momentum " + dtype, sgd_bytes, run_sgd, loop_sgd) && is_fast;
}

bool compare_sum_of_squares() {
  const View1D<float> g = zeros<float>("m2::bench_g");
  const View1D<double> blocks("m2::bench_blocks", num_square_blocks(kValues)), total("m2::bench_total", 1);
  fill_normal(exec(), {.seed = 1}, {}, 0, g);
  const float* const from = g.data();
  const auto loop = [=] {
    for_chunks([=](std::int64_t first, std::int64_t end) {
      float lane[64] = {};
      for (; first < end; first += 64) {
        for (int l = 0; l < 64; ++l) lane[l] += from[first + l];
      }
      volatile float kept = *std::max_element(lane, lane + 64);
      (void)kept;
    });
  };
  return compare("sum_of_squares", kValues * 4.0, [&] { sum_of_squares(exec(), g, blocks, total); }, loop);
}

/// Beside a conversion into rows of bfloat16, the least that a weight in bfloat16 costs. Not judged.
void compare_store_weight() {
  const View3D<float> values("m2::bench_values", kMatrices, kRows, kColumns);
  fill_normal(exec(), {.seed = 1}, {}, 0, View1D<float>(values.data(), kValues));
  const View1D<Bf16> rounded = zeros<Bf16>("m2::bench_rounded");
  const float* const from = values.data();
  Bf16* const to = rounded.data();
  const auto loop = [=] {
    for_chunks([=](std::int64_t first, std::int64_t end) {
      for (std::int64_t i = first; i < end; ++i) to[i] = Bf16(from[i]);
    });
  };
  for (const DType dtype : {DType::bfloat16, DType::float8_e4m3fn}) {
    for (const WeightLayout layout : {WeightLayout::rows, WeightLayout::panels}) {
      if (layout == WeightLayout::panels && !panels_fit(dtype, kRows, kColumns, 1)) continue;
      const Weight weight = Weight::allocate(exec(), dtype, kMatrices, kRows, kColumns, "m2::bench_weight", 1, layout);
      const std::string name = fmt::format("{}, {}", m2::name(dtype), layout == WeightLayout::rows ? "rows" : "panels");
      const double bytes = double(kValues) * double(sizeof(float) + size_bytes(dtype));
      compare("store " + name, bytes, [&] { store_weight(exec(), values, weight); }, loop);
      compare("load " + name, bytes, [&] { load_weight(exec(), weight, values); }, loop);
    }
  }
}

}  // namespace
}  // namespace m2::test

int main(int argc, char** argv) {
  bool is_fast = false;
  {
    const Kokkos::ScopeGuard kokkos(argc, argv);
    is_fast = m2::test::compare_sum_of_squares();
    is_fast = m2::test::compare_updates<float>("float32") && is_fast;
    m2::test::compare_updates<m2::Bf16>("bfloat16");
    m2::test::compare_store_weight();
    m2::test::release_exec();
  }
  return is_fast ? 0 : 1;
}
