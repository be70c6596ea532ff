// SPDX-License-Identifier: Apache-2.0
// Google Benchmark of gemm and grouped_gemm, each provider and dtype, on the cases of tests/kernels: bytes and FLOP are
// those that must be moved and computed at least. The names say rows x outputs x columns; one kind alone, for example
// with --benchmark_filter=kokkos/bfloat16xfloat8.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "kernels/gemm/gemm_cases.hpp"
#include "kernels/panels/panel_gemm.hpp"

namespace m2::test {
namespace {

/// Outputs and columns of an expert's gate and up together in the released model.
constexpr int kOutputs = 3072, kColumns = 3072;

template <class Op>
void measure(benchmark::State& state, GemmProvider provider, const GemmShape& shape) {
  const Op op(provider, shape);
  op.run(exec());  // oneDNN generates its code
  for (auto _ : state) {
    op.run(exec());
    exec().fence("bench::run");
  }
  const double iterations = double(state.iterations());
  state.counters["bytes"] = benchmark::Counter(op.bytes() * iterations, benchmark::Counter::kIsRate);
  state.counters["FLOP"] = benchmark::Counter(op.flop() * iterations, benchmark::Counter::kIsRate);
}

/// The released model's eight experts of a token: 8 rows, one for each; and 512 rows spread over 16 experts.
std::vector<GemmShape> shapes() {
  std::vector<GemmShape> out;
  for (const int rows : {1, 8, 64, 512}) out.push_back({rows, kOutputs, kColumns});
  for (const auto& [rows, experts] : {std::pair{8, 8}, {512, 16}}) {
    GemmShape grouped{rows, kOutputs, kColumns};
    for (int e = 0; e <= experts; ++e) grouped.offsets.push_back(e * rows / experts);
    out.push_back(grouped);
  }
  return out;
}

template <class T, class W>
void add(GemmProvider provider, const std::string& label, WeightLayout layout) {
  for (GemmShape shape : shapes()) {
    shape.layout = layout;
    const std::string kind = shape.offsets.empty() ? "gemm" : fmt::format("grouped_gemm_{}", shape.offsets.size() - 1);
    const std::string name = fmt::format("{}/{}/{}x{}/{}x{}x{}", kind, label, m2::name(kDTypeOf<T>),
                                         m2::name(kDTypeOf<W>), shape.num_rows, shape.num_outputs, shape.num_columns);
    benchmark::RegisterBenchmark(name, measure<GemmOp<T, W, T>>, provider, shape)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

template <class T, class W>
void add() {
  for (const GemmProvider provider : {GemmProvider::kokkos, GemmProvider::kokkos_kernels, GemmProvider::onednn}) {
    if (!gemm_supports(provider, kDTypeOf<T>, kDTypeOf<W>)) continue;
    add<T, W>(provider, std::string(m2::name(provider)), WeightLayout::rows);
  }
  const bool has_panels = kDTypeOf<T> == DType::bfloat16 && kDTypeOf<W> != DType::float32 && panel_kernel() != nullptr;
  if (has_panels) add<T, W>(GemmProvider::kokkos, "kokkos_panels", WeightLayout::panels);
}

}  // namespace
}  // namespace m2::test

int main(int argc, char** argv) {
  Kokkos::ScopeGuard kokkos(argc, argv);
  m2::test::add<float, float>();
  m2::test::add<m2::Bf16, m2::Bf16>();
  m2::test::add<m2::Bf16, m2::Fp8E4M3>();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  m2::test::release_exec();
}
