// SPDX-License-Identifier: Apache-2.0
#include "bench/ceilings.hpp"

#include <algorithm>
#include <chrono>
#include <type_traits>

#include "bench/ceilings_loops.hpp"
#include "kernels/common/rows.hpp"

namespace m2 {
namespace {

using Word = std::uint64_t;

constexpr int kPasses = 12;

// The least time of `kPasses` calls, each with nothing else on the instance.
template <class Space, class Work>
double best_seconds(const Space& exec, const Work& work) {
  double best = 0.0;
  for (int pass = 0; pass < kPasses; ++pass) {
    exec.fence("m2::ceilings: before");
    const auto begin = std::chrono::steady_clock::now();
    work();
    exec.fence("m2::ceilings: after");
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    best = pass == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

// One thread's part, as `kStreams` streams that are read side by side: which number a memory likes best differs.
template <int kStreams>
Word sum_streams(const Word* words, std::int64_t count) {
  constexpr int kLanes = 32;
  const std::int64_t length = count / kStreams / kLanes * kLanes;
  Word lane[kLanes] = {};
  for (std::int64_t i = 0; i < length; i += kLanes) {
    for (int stream = 0; stream < kStreams; ++stream) {
      const Word* const from = words + stream * length + i;
      for (int l = 0; l < kLanes; ++l) lane[l] += from[l];
    }
  }
  Word total = 0;
  for (const Word value : lane) total += value;
  return total;
}

template <class Space>
void fill_words(const Space& exec, const View1D<Word>& words) {
  Kokkos::parallel_for(
      "m2::ceilings::fill", Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(exec, 0, words.extent(0)),
      KOKKOS_LAMBDA(std::int64_t i) { words(i) = Word(i); });
}

// Each thread sums one part of the array, the one it wrote first.
template <int kStreams>
double host_read_seconds(const HostExecSpace& exec, const Word* words, std::int64_t count, Word* sum_of_thread) {
  const int num_threads = exec.concurrency();
  const std::int64_t part = count / num_threads;
  return best_seconds(exec, [&] {
    Kokkos::parallel_for(
        "m2::ceilings::read", Kokkos::RangePolicy<HostExecSpace>(exec, 0, num_threads),
        [=](int thread) { sum_of_thread[thread] = sum_streams<kStreams>(words + thread * part, part); });
  });
}

double host_flop_per_second(const HostExecSpace& exec, const PeakLoop& loop, float* result_of_thread) {
  constexpr std::int64_t kFlop = 1'000'000'000;  // of each thread and pass: some milliseconds
  const std::int64_t iterations = kFlop / loop.flop_per_iteration;
  const int num_threads = exec.concurrency();
  const auto run = loop.run;
  const double seconds = best_seconds(exec, [&] {
    Kokkos::parallel_for("m2::ceilings::multiply", Kokkos::RangePolicy<HostExecSpace>(exec, 0, num_threads),
                         [=](int thread) { result_of_thread[thread] = run(iterations); });
  });
  return double(iterations * loop.flop_per_iteration * num_threads) / seconds;
}

Ceilings host_ceilings(const HostExecSpace& exec, const Word* words, std::int64_t count) {
  const HostView1D<Word> sums(Kokkos::view_alloc(exec, "m2::ceilings::sums"), exec.concurrency());
  const HostView1D<float> results(Kokkos::view_alloc(exec, "m2::ceilings::results"), exec.concurrency());
  const double seconds = std::min(host_read_seconds<1>(exec, words, count, sums.data()),
                                  host_read_seconds<4>(exec, words, count, sums.data()));
  const PeakLoop float32 = float32_peak_loop();
  Ceilings ceilings;
  ceilings.read_bytes_per_second = double(count) * sizeof(Word) / seconds;
  ceilings.float32_flop_per_second = host_flop_per_second(exec, float32, results.data());
  ceilings.float32_instructions = float32.instructions;
  if (const std::optional<PeakLoop> bfloat16 = bfloat16_peak_loop()) {
    ceilings.bfloat16_flop_per_second = host_flop_per_second(exec, *bfloat16, results.data());
    ceilings.bfloat16_instructions = bfloat16->instructions;
  }
  return ceilings;
}

template <class Space>
double device_read_seconds(const Space& exec, const View1D<Word>& words) {
  const View1D<Word> sum(Kokkos::view_alloc(exec, "m2::ceilings::sum"), 1);
  const Kokkos::View<Word, MemorySpace> total(sum.data());
  return best_seconds(exec, [&] {
    Kokkos::parallel_reduce(
        "m2::ceilings::read", Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(exec, 0, words.extent(0)),
        KOKKOS_LAMBDA(std::int64_t i, Word& partial) { partial += words(i); }, total);
  });
}

template <class Space>
double device_flop_per_second(const Space& exec) {
  constexpr std::int64_t kThreads = std::int64_t(1) << 20, kIterations = 1024;
  constexpr int kChains = 8;
  const View1D<float> results(Kokkos::view_alloc(exec, "m2::ceilings::results"), kThreads);
  const double seconds = best_seconds(exec, [&] {
    Kokkos::parallel_for(
        "m2::ceilings::multiply", Kokkos::RangePolicy<Space>(exec, 0, kThreads), KOKKOS_LAMBDA(int thread) {
          float chain[kChains];
          for (int c = 0; c < kChains; ++c) chain[c] = float(c);
          const float factor = 1.0f - 0x1p-10f * float(thread % 2);
          for (std::int64_t i = 0; i < kIterations; ++i) {
            for (int c = 0; c < kChains; ++c) chain[c] = Kokkos::fma(chain[c], factor, 0x1p-10f);
          }
          float total = 0.0f;
          for (int c = 0; c < kChains; ++c) total += chain[c];
          results(thread) = total;
        });
  });
  return double(2 * kThreads * kIterations * kChains) / seconds;
}

template <class Space>
Ceilings ceilings_of(const Space& exec, const View1D<Word>& words) {
  if constexpr (std::is_same_v<Space, HostExecSpace>) {
    return host_ceilings(exec, words.data(), std::int64_t(words.extent(0)));
  } else {
    Ceilings ceilings;
    ceilings.read_bytes_per_second = double(words.extent(0)) * sizeof(Word) / device_read_seconds(exec, words);
    ceilings.float32_flop_per_second = device_flop_per_second(exec);
    ceilings.float32_instructions = Space::name();
    return ceilings;
  }
}

}  // namespace

Ceilings measure_ceilings(const ExecSpace& exec, std::int64_t array_bytes) {
  const std::int64_t count = array_bytes / std::int64_t(sizeof(Word));
  M2_REQUIRE(count >= exec.concurrency(), "measure_ceilings: {} bytes are too few for {} threads", array_bytes,
             exec.concurrency());
  const View1D<Word> words(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "m2::ceilings::words"), count);
  fill_words(exec, words);
  return ceilings_of(exec, words);
}

}  // namespace m2
