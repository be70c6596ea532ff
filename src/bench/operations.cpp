// SPDX-License-Identifier: Apache-2.0
#include "bench/operations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "core/host_copy.hpp"
#include "core/operation_log.hpp"
#include "core/plural.hpp"
#include "core/stop_signal.hpp"
#include "core/stopwatch.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/gemm/grouped_gemm.hpp"
#include "kernels/moe/permute.hpp"
#include "kernels/moe/router.hpp"
#include "kernels/rowwise/residual_add.hpp"
#include "kernels/rowwise/rms_norm.hpp"
#include "kernels/rowwise/swiglu.hpp"
#include "kernels/weights/random_fill.hpp"

namespace m2 {
namespace {

constexpr int kHidden = 3072, kInner = 1536, kHeads = 48, kKvHeads = 8, kHeadSize = 128, kExperts = 256, kTopK = 8;
constexpr int kLocalExperts = 32;  // of one of 8 ranks
constexpr int kTokens[] = {1, 8, 64, 512};
constexpr std::int64_t kStackBytes = std::int64_t(512) << 20;
constexpr double kLeastSeconds = 0.02;  // of a measurement: an operation is repeated until it takes as long

// `run(i)` is the i-th call.
using Run = std::function<void(int)>;

BenchCase measure_case(const ExecSpace& exec, std::string shape, DType activations, DType weights, int repeats,
                       const Run& run) {
  throw_if_stop_requested();
  OperationLog log(OperationLog::Timing::on);
  {
    const OperationLog::Recording recording(log);
    run(0);
  }
  const OperationLog::Entry& entry = log.entries().at(0);
  BenchCase result{.operation = entry.operation,
                   .shape = std::move(shape),
                   .activations = activations,
                   .weights = weights,
                   .cost = entry.cost,
                   .seconds = {}};
  const int calls = std::clamp(int(kLeastSeconds / std::max(entry.seconds, 1e-7)), 1, 10'000);
  std::vector<double> seconds;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    exec.fence("m2::bench: before the operation");
    const Stopwatch stopwatch;
    for (int i = 0; i < calls; ++i) run(repeat * calls + i);
    exec.fence("m2::bench: the operation");
    seconds.push_back(stopwatch.seconds() / calls);
  }
  result.seconds = spread_of(std::move(seconds));
  return result;
}

template <class T>
View2D<T> random_matrix(const ExecSpace& exec, int rows, int columns) {
  const View2D<T> values(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "m2::bench::x"), rows, columns);
  const View1D<float> numbers(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "m2::bench::x"), columns);
  fill_normal(exec, {}, {}, 0, numbers);
  Kokkos::parallel_for(
      "m2::bench::random_matrix",
      Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec, 0, values.size()),
      KOKKOS_LAMBDA(std::int64_t i) { values.data()[i] = T(numbers(i % columns)); });
  return values;
}

void copy_bytes(const ExecSpace& exec, const std::byte* from, std::byte* to, std::int64_t bytes) {
  Kokkos::deep_copy(exec, View1D<std::byte>(to, bytes), View1D<const std::byte>(from, bytes));
}

// As many random matrices as no cache holds, at least `least`; all alike, which costs the same and is made faster.
Weight random_stack(const ExecSpace& exec, DType dtype, int least, int rows, int columns, int row_parts = 1) {
  const std::int64_t matrix_bytes = std::int64_t(rows) * columns * std::int64_t(size_bytes(dtype));
  const int count = std::max(least, int((kStackBytes + matrix_bytes - 1) / matrix_bytes));
  const Weight stack = Weight::allocate(exec, dtype, count, rows, columns, "m2::bench::weights", row_parts);
  const Weight first = stack.matrix(0);
  fill_normal(exec, {}, {.mean = 0.0f, .deviation = 0.02f}, 0, first);
  for (int i = 1; i < count; ++i) {
    const Weight matrix = stack.matrix(i);
    copy_bytes(exec, first.data(), matrix.data(), first.bytes());
    Kokkos::deep_copy(exec, matrix.scale_inv(), first.scale_inv());
  }
  return stack;
}

template <class T>
class Operations {
 public:
  Operations(const ExecSpace& exec, int repeats) : exec_(exec), repeats_(repeats) {}

  std::vector<BenchCase> run() {
    for (const DType weights : {kDType, DType::float8_e4m3fn}) {
      add_gemm("q_proj", weights, kHeads * kHeadSize, kHidden);
      add_gemm("o_proj", weights, kHidden, kHeads * kHeadSize);
      add_grouped_gemm("gate_up", weights, 2 * kInner, kHidden, 2);
      add_grouped_gemm("down", weights, kHidden, kInner, 1);
    }
    add_gemm("router", DType::float32, kExperts, kHidden);
    add_attention("512 tokens of a prompt", 1, 512, 512);
    add_attention("1 token after 4095", 1, 1, 4096);
    add_attention("8 sequences, each 1 token after 4095", 8, 1, 4096);
    for (const int tokens : {1, 512}) add_rows(tokens);
    return std::move(cases_);
  }

 private:
  static constexpr DType kDType = kDTypeOf<T>;

  void add(std::string shape, DType weights, const Run& run) {
    cases_.push_back(measure_case(exec_, std::move(shape), kDType, weights, repeats_, run));
  }

  void add_gemm(const char* name, DType weights, int rows, int columns) {
    const Weight stack = random_stack(exec_, weights, 1, rows, columns);
    for (const int tokens : kTokens) {
      const View2D<const T> x_TK = random_matrix<T>(exec_, tokens, columns);
      const View2D<float> y_TN = random_matrix<float>(exec_, tokens, rows);
      add(fmt::format("{} {} x {}, {}", name, rows, columns, counted(tokens, "token")), weights, [&](int i) {
        gemm<T, float>(exec_, GemmProvider::kokkos, x_TK, stack.matrix(i % stack.num_matrices()), {}, y_TN);
      });
    }
  }

  // The rows of 8 times as many tokens: those whose experts lie here. They are spread evenly; few rows go to other
  // experts in the next call.
  void add_grouped_gemm(const char* name, DType weights, int rows, int columns, int row_parts) {
    const Weight stack = random_stack(exec_, weights, kLocalExperts, rows, columns, row_parts);
    const int num_experts = stack.num_matrices();
    for (const int num_rows : {8, 64, 512, 4096}) {
      const View2D<const T> x_RK = random_matrix<T>(exec_, num_rows, columns);
      const View2D<T> y_RN = random_matrix<T>(exec_, num_rows, rows);
      std::vector<View1D<int>> offsets;
      for (int first = 0; first < num_experts; first += kTopK) {
        offsets.push_back(offsets_from(first, num_experts, num_rows));
      }
      add(fmt::format("{} {} x {}, {} rows, {} experts", name, rows, columns, num_rows,
                      std::min(num_rows, kLocalExperts)),
          weights, [&](int i) {
            grouped_gemm<T, T>(exec_, GemmProvider::kokkos, x_RK, stack, offsets[i % offsets.size()], {}, y_RN);
          });
    }
  }

  // `num_rows` rows spread over the experts from `first` on, as many as there are on a rank.
  View1D<int> offsets_from(int first, int num_experts, int num_rows) const {
    const int busy = std::min(num_rows, kLocalExperts);
    std::vector<int> count(num_experts), offset{0};
    for (int row = 0; row < num_rows; ++row) ++count[(first + row % busy) % num_experts];
    for (const int rows : count) offset.push_back(offset.back() + rows);
    return on_device(offset);
  }

  void add_attention(std::string shape, int num_sequences, int tokens_each, int positions) {
    const int pages = (positions + kKvPage - 1) / kKvPage, num_pages = pages * num_sequences;
    const View2D<T> k = random_matrix<T>(exec_, num_pages * kKvHeads, kHeadSize * kKvPage);
    const View2D<T> v = random_matrix<T>(exec_, num_pages * kKvHeads, kHeadSize * kKvPage);
    const KvPages<T> cache{.k_NGCP = View4D<T>(k.data(), num_pages, kKvHeads, kHeadSize, kKvPage),
                           .v_NGPC = View4D<T>(v.data(), num_pages, kKvHeads, kKvPage, kHeadSize)};
    std::vector<int> table, sequence, position;
    for (int page = 0; page < num_pages; ++page) table.push_back(page);
    for (int b = 0; b < num_sequences; ++b) {
      for (int t = 0; t < tokens_each; ++t) {
        sequence.push_back(b);
        position.push_back(positions - tokens_each + t);
      }
    }
    const View1D<int> table_on_device = on_device(table);
    const BatchLayout layout{on_device(sequence), on_device(position),
                             View2D<const int>(table_on_device.data(), num_sequences, pages)};
    const int num_tokens = num_sequences * tokens_each;
    const View2D<const T> q_TN = random_matrix<T>(exec_, num_tokens, kHeads * kHeadSize);
    const View2D<T> out_TN = random_matrix<T>(exec_, num_tokens, kHeads * kHeadSize);
    add(std::move(shape), kDType, [&](int) { attention<T>(exec_, q_TN, cache, layout, 0.088f, out_TN); });
  }

  // Operations that go through the rows of `num_tokens` tokens once.
  void add_rows(int num_tokens) {
    const int num_rows = num_tokens * kTopK;
    const View2D<T> x_TD = random_matrix<T>(exec_, num_tokens, kHidden),
                    y_TD = random_matrix<T>(exec_, num_tokens, kHidden);
    const View2D<T> y_RD = random_matrix<T>(exec_, num_rows, kHidden);
    const View2D<float> weight_D = random_matrix<float>(exec_, 1, kHidden);
    const View2D<float> logits_TE = random_matrix<float>(exec_, num_tokens, kExperts);
    const View2D<T> gate_up_R2F = random_matrix<T>(exec_, num_rows, 2 * kInner),
                    inner_RF = random_matrix<T>(exec_, num_rows, kInner);
    const View2D<float> weight_TK = random_matrix<float>(exec_, num_tokens, kTopK);
    std::vector<int> row_of_slot(num_rows);
    for (int slot = 0; slot < num_rows; ++slot) row_of_slot[slot] = slot;
    const View1D<int> slots = on_device(row_of_slot);
    const View2D<int> row_TK(slots.data(), num_tokens, kTopK);
    const View2D<int> expert_TK(Kokkos::view_alloc(exec_, "m2::bench::expert_TK"), num_tokens, kTopK);
    const std::string shape = counted(num_tokens, "token");
    add(shape, kDType, [&](int) {
      rms_norm<T>(exec_, x_TD, View1D<const float>(weight_D.data(), kHidden), 1e-6f, RmsNormOrder::cast_last, y_TD);
    });
    add(shape, kDType, [&](int) { residual_add<T>(exec_, x_TD, y_TD, y_TD); });
    add(shape, DType::float32, [&](int) { route(exec_, logits_TE, {}, {}, expert_TK, weight_TK); });
    add(shape, kDType, [&](int) { swiglu<T>(exec_, gate_up_R2F, {}, inner_RF); });
    add(shape, kDType, [&](int) { combine<T>(exec_, y_RD, row_TK, weight_TK, y_TD); });
  }

  View1D<int> on_device(const std::vector<int>& values) const { return to_device(exec_, values, "m2::bench::ints"); }

  const ExecSpace& exec_;
  int repeats_;
  std::vector<BenchCase> cases_;
};

}  // namespace

std::vector<BenchCase> measure_operations(const ExecSpace& exec, DType dtype, int repeats) {
  return dtype == DType::bfloat16 ? Operations<Bf16>(exec, repeats).run() : Operations<float>(exec, repeats).run();
}

}  // namespace m2
