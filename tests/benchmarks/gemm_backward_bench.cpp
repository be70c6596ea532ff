// SPDX-License-Identifier: Apache-2.0
// Google Benchmark of gemm_backward_input and gemm_backward_weight beside the forward product of the same shape, on the
// cases of tests/kernels. The names say kind, weight, experts, rows x outputs x columns and threads.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "kernels/gemm/gemm_backward_cases.hpp"
#include "kernels/panels/panel_gemm.hpp"

namespace m2::test {
namespace {

template <class Op>
void measure(benchmark::State& state, const Op& op, int num_threads) {
  const ExecSpace on = with_threads(num_threads);
  op.run(on);
  for (auto _ : state) {
    op.run(on);
    on.fence("bench::run");
  }
  state.counters["FLOP"] = benchmark::Counter(op.flop() * double(state.iterations()), benchmark::Counter::kIsRate);
}

template <class MakeOp>
void add(const std::string& kind, const GemmShape& shape, const MakeOp& make) {
  const int num_experts = shape.offsets.empty() ? 1 : int(shape.offsets.size()) - 1;
  const std::string lies = shape.layout == WeightLayout::panels ? "_panels" : "";
  for (const int threads : {1, 2}) {
    const std::string name = fmt::format("{}{}/{}x{}x{}x{}/threads_{}", kind, lies, num_experts, shape.num_rows,
                                         shape.num_outputs, shape.num_columns, threads);
    benchmark::RegisterBenchmark(name, [=](benchmark::State& state) { measure(state, make(shape), threads); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
}

/// A projection of attention on 1280 tokens; and gate and up of eight experts with 64 rows each.
std::vector<GemmShape> shapes() {
  GemmShape grouped{8 * 64, 3072, 1024};
  for (int e = 0; e <= 8; ++e) grouped.offsets.push_back(e * 64);
  return {{1280, 1024, 1024}, grouped};
}

template <class T, class W>
void add_weight_kind() {
  for (const WeightLayout layout : {WeightLayout::rows, WeightLayout::panels}) {
    const bool is_possible =
        layout == WeightLayout::rows || (kDTypeOf<W> != DType::float32 && panel_kernel() != nullptr);
    if (!is_possible) continue;
    const auto label = [](const char* operation) {
      return fmt::format("{}/{}x{}", operation, name(kDTypeOf<T>), name(kDTypeOf<W>));
    };
    for (GemmShape shape : shapes()) {
      shape.layout = layout;
      if (layout == WeightLayout::rows || kDTypeOf<T> == DType::bfloat16)
        add(label("forward"), shape, [](const GemmShape& s) { return GemmOp<T, W, T>(GemmProvider::kokkos, s); });
      add(label("input"), shape, [](const GemmShape& s) { return BackwardInputOp<T, W, T>(s); });
    }
  }
}

template <class T>
void add_gradient_kind() {
  for (const GemmShape& shape : shapes())
    add(fmt::format("weight/{}", name(kDTypeOf<T>)), shape,
        [](const GemmShape& s) { return BackwardWeightOp<T, T>(s); });
}

}  // namespace
}  // namespace m2::test

int main(int argc, char** argv) {
  Kokkos::ScopeGuard kokkos(argc, argv);
  using m2::Bf16;
  m2::test::add_weight_kind<float, float>();
  m2::test::add_weight_kind<Bf16, Bf16>();
  m2::test::add_weight_kind<Bf16, m2::Fp8E4M3>();
  m2::test::add_gradient_kind<float>();
  m2::test::add_gradient_kind<Bf16>();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  m2::test::release_exec();
}
