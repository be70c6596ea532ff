// SPDX-License-Identifier: Apache-2.0
// Google Benchmark of the case table of tests/kernels, at sizes of the released model: bytes and FLOP are those that
// the operation must move and compute at least. Run one alone with --benchmark_filter=rms_norm.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "kernels/attention/attention_backward_operation.hpp"
#include "kernels/attention/attention_operation.hpp"
#include "kernels/moe/route_backward_operation.hpp"
#include "kernels/moe/routing_operations.hpp"
#include "kernels/rowwise/rowwise_backward_operations.hpp"
#include "kernels/rowwise/rowwise_operations.hpp"

namespace m2::test {
namespace {

template <class Op>
void measure(benchmark::State& state, Size size) {
  const Op op(size);
  for (auto _ : state) {
    op.run(exec());
    exec().fence("bench::run");
  }
  const double iterations = double(state.iterations());
  state.counters["bytes"] = benchmark::Counter(op.bytes() * iterations, benchmark::Counter::kIsRate);
  state.counters["FLOP"] = benchmark::Counter(flop_of(op) * iterations, benchmark::Counter::kIsRate);
}

template <class Op>
void add(const char* type) {
  for (const int num_tokens : {1, Op::kRealSize.num_tokens}) {
    const Size size{num_tokens, Op::kRealSize.width};
    const std::string name = fmt::format("{}/{}/{}x{}", Op::kName, type, size.num_tokens, size.width);
    benchmark::RegisterBenchmark(name, measure<Op>, size)->UseRealTime()->Unit(benchmark::kMicrosecond);
  }
}

// Forward and backward of one sequence: two and five products of the same sizes.
template <class T>
void add_training(const char* type) {
  using Op = AttentionBackwardOp<T>;
  const auto measure_one = [](benchmark::State& state, int length, bool is_forward) {
    const Op op(Op::kRealSize.width, {length});
    for (auto _ : state) {
      is_forward ? op.run_forward(exec()) : op.run(exec());
      exec().fence("bench::run");
    }
    const double flop = op.flop() * (is_forward ? 0.4 : 1.0) * double(state.iterations());
    state.counters["FLOP"] = benchmark::Counter(flop, benchmark::Counter::kIsRate);
  };
  for (const int length : {64, 256, 2048}) {
    for (const bool is_forward : {true, false}) {
      const char* direction = is_forward ? "forward" : "backward";
      const std::string name = fmt::format("attention_training/{}/{} of {}", type, direction, length);
      benchmark::RegisterBenchmark(name, measure_one, length, is_forward)->UseRealTime()->Unit(benchmark::kMicrosecond);
    }
  }
}

template <class T>
void add_all_of() {
  const char* type = kTypeName<T>;
  add<EmbeddingOp<T, T>>(type);
  add<RmsNormOp<T, RmsNormOrder::cast_last>>(type);
  add<RmsNormBackwardOp<T>>(type);
  add<ResidualAddOp<T>>(type);
  add<RopeOp<T>>(type);
  add<RopeOp<T, RopeDirection::backward>>(type);
  add<AttentionOp<T>>(type);
  add<AttentionBackwardOp<T>>(type);
  add_training<T>(type);
  add<GatherRowsOp<T>>(type);
  add<SwigluOp<T>>(type);
  add<SwigluBackwardOp<T>>(type);
  add<CombineOp<T>>(type);
}

}  // namespace
}  // namespace m2::test

int main(int argc, char** argv) {
  Kokkos::ScopeGuard kokkos(argc, argv);
  m2::test::add_all_of<float>();
  m2::test::add_all_of<m2::Bf16>();
  m2::test::add<m2::test::RouteOp<m2::ScoringFunc::sigmoid>>("float32");
  m2::test::add<m2::test::RouteBackwardOp<m2::ScoringFunc::sigmoid>>("float32");
  m2::test::add<m2::test::TokenLogprobOp>("float32");
  m2::test::add<m2::test::TopTokensOp<1>>("1 of float32");
  m2::test::add<m2::test::TopTokensOp<41>>("41 of float32");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  m2::test::release_exec();
}
