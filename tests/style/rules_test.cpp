// SPDX-License-Identifier: Apache-2.0
// Each rule refuses a planted breach and lets the right form pass.
#include "style/rules.hpp"

#include <gmock/gmock.h>

namespace m2::style {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Code, CommentsAndLiteralsAreBlankedAndLinesStay) {
  EXPECT_EQ(without_comments("a // b\n\"// c\" /* d\n*/ 1'000"), "a     \n\"// c\"     \n   1'000");
  EXPECT_EQ(without_literals("f(\"x(\\\"\", ')')"), "f(\"    \", ' ')");
  EXPECT_EQ(without_literals("R\"(a\")\" + b"), "R\"    \" + b");
}

TEST(Code, CallsAreFoundWithTheirArguments) {
  const auto found = calls("View2D<Pair<int, 3>> x(\"a,b\", f(1, 2), g<int, 4>());\nView2D{y};", {"View2D"});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[0].arguments, ElementsAre("\"a,b\"", "f(1, 2)", "g<int, 4>()"));
  EXPECT_THAT(found[1].arguments, ElementsAre("y"));
}

Breaches layers(const std::string& path, const std::string& include) { return layer_breaches({{path, include}}); }

TEST(Layers, OnlyLowerFoldersMayBeIncluded) {
  EXPECT_THAT(layers("src/model/a.cpp", "#include \"kernels/gemm/b.hpp\"\n#include <vector>"), IsEmpty());
  EXPECT_THAT(layers("src/model/a.cpp", "// #include \"infer/b.hpp\""), IsEmpty());
  EXPECT_THAT(layers("src/core/a.hpp", "\n#include \"io/b.hpp\""),
              ElementsAre("src/core/a.hpp:2: core includes io (\"io/b.hpp\"), which is not below it"));
  EXPECT_THAT(layers("src/io/a.cpp", "#include <text/b.hpp>"), ElementsAre(HasSubstr("io includes text")));
  EXPECT_THAT(layers("src/checkpoint/a.cpp", "#include \"infer/b.hpp\""),
              ElementsAre(HasSubstr("checkpoint includes infer")));
  EXPECT_THAT(layers("src/train/a.cpp", "#include \"bench/b.hpp\""), ElementsAre(HasSubstr("train includes bench")));
  EXPECT_THAT(layers("src/infer/a.cpp", "#include \"apps/b.hpp\""), ElementsAre(HasSubstr("infer includes apps")));
}

TEST(Layers, FoldersInsideAFolderHaveLevelsToo) {
  EXPECT_THAT(layers("src/kernels/gemm/a.cpp", "#include \"kernels/weights/b.hpp\""), IsEmpty());
  EXPECT_THAT(layers("src/kernels/gemm/a.cpp", "#include \"kernels/moe/b.hpp\""),
              ElementsAre(HasSubstr("kernels/gemm includes kernels/moe")));
  EXPECT_THAT(layers("src/kernels/common/a.hpp", "#include \"kernels/gemm/b.hpp\""),
              ElementsAre(HasSubstr("kernels/common includes kernels/gemm")));
  EXPECT_THAT(layers("src/model/dispatch/a.hpp", "#include \"model/b.hpp\""),
              ElementsAre(HasSubstr("model/dispatch includes model")));
  EXPECT_THAT(layers("src/comm/startup/a.cpp", "#include \"comm/nccl/b.hpp\""), IsEmpty());
  EXPECT_THAT(layers("src/kernels/gemm/a.cpp", "#include \"comm/b.hpp\""),
              ElementsAre(HasSubstr("kernels/gemm includes comm")));
  EXPECT_THAT(layers("src/comm/startup/a.cpp", "#include \"config/b.hpp\""),
              ElementsAre(HasSubstr("comm/startup includes config")));
}

TEST(Layers, PathsAreRelativeToSrc) {
  EXPECT_THAT(layers("src/io/a.cpp", "#include \"b.hpp\""), ElementsAre(HasSubstr("write the path relative to src")));
  EXPECT_THAT(layers("src/io/a.cpp", "#include \"../io/b.hpp\""),
              ElementsAre(HasSubstr("write the path relative to src")));
}

TEST(Layers, ANewFolderNeedsALevel) {
  EXPECT_THAT(layers("src/util/a.cpp", ""), ElementsAre(HasSubstr("folder util has no level")));
  EXPECT_THAT(layers("src/kernels/a.cpp", ""), ElementsAre(HasSubstr("folder kernels has no level")));
  EXPECT_THAT(layers("src/io/deep/a.cpp", ""), ElementsAre(HasSubstr("folder io/deep has no level")));
}

TEST(Layers, TheOwnHeaderComesFirst) {
  const File header{"src/io/a.hpp", ""};
  EXPECT_THAT(layer_breaches({header, {"src/io/a.cpp", "#include \"io/a.hpp\"\n#include <vector>"}}), IsEmpty());
  EXPECT_THAT(layer_breaches({header, {"src/io/a.cpp", "#include <vector>\n#include \"io/a.hpp\""}}),
              ElementsAre(HasSubstr("before its own \"io/a.hpp\"")));
}

TEST(Cycles, AreFound) {
  const File a{"src/io/a.hpp", "#include \"io/b.hpp\""}, c{"src/io/c.hpp", ""};
  EXPECT_THAT(cycle_breaches({a, {"src/io/b.hpp", "#include \"io/c.hpp\""}, c}), IsEmpty());
  EXPECT_THAT(cycle_breaches({a, {"src/io/b.hpp", "#include \"io/a.hpp\""}, c}),
              ElementsAre("src/io/b.hpp: includes src/io/a.hpp, which includes it in turn"));
}

std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "  x();\n";
  return text;
}

TEST(Lengths, OfFilesAndFunctions) {
  const auto breaches = [](const std::string& text) { return length_breaches({"src/io/a.cpp", text}); };
  EXPECT_THAT(breaches("void f() {\n" + lines(58) + "}\n"), IsEmpty());
  EXPECT_THAT(breaches("int g;\n\nvoid f() {\n" + lines(59) + "}\n"),
              ElementsAre("src/io/a.cpp:3: 61 lines in one function, at most 60: void f() {"));
  EXPECT_THAT(breaches("namespace m2 {\nclass A {\n  A() : b(1) {\n" + lines(59) + "  }\n  int b;\n};\n}\n"),
              ElementsAre(HasSubstr("61 lines in one function")));
  EXPECT_THAT(breaches("void f() {\n  const auto g = [&] {\n" + lines(58) + "  };\n}\n"),
              ElementsAre(HasSubstr("62 lines in one function")));
  EXPECT_THAT(breaches("const std::vector<int> kTable{\n" + lines(100) + "};\n"), IsEmpty());
  EXPECT_THAT(breaches("// a comment\n" + std::string(299, '\n')), IsEmpty());
  EXPECT_THAT(breaches(std::string(301, '\n')), ElementsAre("src/io/a.cpp: 301 lines in one file, at most 300"));
}

TEST(Spelling, OfConstantsAndCasts) {
  const auto breaches = [](const std::string& text) { return spelling_breaches({"src/io/a.cpp", text}); };
  EXPECT_THAT(breaches("constexpr int kLineBytes = 1; auto x = std::size_t(y); auto* p = static_cast<char*>(q);"),
              IsEmpty());
  EXPECT_THAT(breaches("auto c = static_cast<unsigned char>(d); int f(int);"), IsEmpty());
  EXPECT_THAT(breaches("\nconstexpr int kLine_bytes = 1;"),
              ElementsAre("src/io/a.cpp:2: 'kLine_bytes': constants are kCamelCase, units included"));
  EXPECT_THAT(breaches("auto x = static_cast<std::size_t>(y);"),
              ElementsAre("src/io/a.cpp:1: 'static_cast<std::size_t>': write T(x)"));
  EXPECT_THAT(breaches("auto x = (int)y;"), ElementsAre(HasSubstr("write T(x)")));
}

TEST(Backend, IsNoBusinessOfThePreprocessorAboveKernels) {
  const std::string text = "#include <vector>\n#ifdef KOKKOS_ENABLE_CUDA\n#endif\n";
  EXPECT_THAT(backend_breaches({"src/kernels/gemm/a.cpp", text}), IsEmpty());
  EXPECT_THAT(backend_breaches({"src/comm/mpi/a.cpp", text}), IsEmpty());
  EXPECT_THAT(backend_breaches({"src/model/a.cpp", "// #ifdef KOKKOS_ENABLE_CUDA\n"}), IsEmpty());
  EXPECT_THAT(backend_breaches({"src/model/a.cpp", text}), ElementsAre(HasSubstr("src/model/a.cpp:2:")));
  EXPECT_THAT(backend_breaches({"apps/a.cpp", "#if defined(__CUDACC__)\n#endif"}),
              ElementsAre(HasSubstr("apps/a.cpp:1")));
}

TEST(Vendors, AHeaderStaysInItsFolder) {
  EXPECT_THAT(vendor_breaches({{"src/io/a.cpp", "#include <hdf5.h>"}, {"apps/m2.cpp", "#include <CLI/CLI.hpp>"}}),
              IsEmpty());
  EXPECT_THAT(vendor_breaches({{"src/model/a.cpp", "#include <hdf5.h>"}}),
              ElementsAre("src/model/a.cpp:1: includes <hdf5.h>, which belongs to io only"));
  for (const std::string header :
       {"mpi.h", "nccl.h", "H5Dpublic.h", "yaml-cpp/yaml.h", "oneapi/dnnl/dnnl.hpp", "KokkosBlas3_gemm.hpp",
        "cublasLt.h", "cudnn.h", "CLI/CLI.hpp", "pcre2.h", "xxhash.h", "nlohmann/json.hpp"}) {
    EXPECT_THAT(vendor_breaches({{"src/model/a.cpp", "#include <" + header + ">"}}), ElementsAre(HasSubstr(header)));
  }
}

TEST(Vendors, AProviderIsOneFile) {
  EXPECT_THAT(vendor_breaches({{"src/kernels/gemm/a.cpp", "#include <dnnl.hpp>"},
                               {"src/kernels/gemm/b.cpp", "#include <dnnl.hpp>"}}),
              ElementsAre(HasSubstr("src/kernels/gemm/b.cpp:1: includes <dnnl.hpp> as src/kernels/gemm/a.cpp does")));
}

TEST(KokkosFree, EvenThroughAnotherHeader) {
  const File views{"src/core/views.hpp", "#include <Kokkos_Core.hpp>"};
  const File between{"src/io/b.hpp", "#include \"core/views.hpp\""};
  EXPECT_THAT(kokkos_free_breaches({views, {"src/model/a.cpp", "#include \"core/views.hpp\""}}), IsEmpty());
  EXPECT_THAT(kokkos_free_breaches({views, between, {"src/io/a.cpp", "#include \"io/b.hpp\""}}),
              ElementsAre(HasSubstr("src/io/b.hpp: reaches"),
                          "src/io/a.cpp: reaches <Kokkos_Core.hpp> through src/core/views.hpp; io is free of Kokkos"));
}

Breaches labels(const std::string& code) { return label_breaches({"src/kernels/a.cpp", code}); }

TEST(Labels, KernelsAreNamed) {
  EXPECT_THAT(labels("Kokkos::parallel_for(\"m2::rope\", Policy(exec, n), f);"), IsEmpty());
  EXPECT_THAT(labels("Kokkos::parallel_for(a ? \"m2::gemm\" : \"m2::grouped_gemm\", policy, f);"), IsEmpty());
  EXPECT_THAT(labels("Kokkos::parallel_for(a ? \"m2::gemm\" : \"gemm\", policy, f);"),
              ElementsAre(HasSubstr("without a label")));
  EXPECT_THAT(labels("Kokkos::parallel_reduce(Kokkos::TeamVectorRange(team, dim), [&](int) {}, sum);"), IsEmpty());
  EXPECT_THAT(labels("\nKokkos::parallel_for(\"rope\", Policy(exec, n), f);"),
              ElementsAre("src/kernels/a.cpp:2: parallel_for without a label \"m2::...\""));
  EXPECT_THAT(labels("Kokkos::parallel_scan(Policy(exec, n), f);"),
              ElementsAre(HasSubstr("parallel_scan without a label")));
}

TEST(Labels, ViewsAreNamed) {
  EXPECT_THAT(labels("View2D<T> x_TD(\"m2::model::x_TD\", n, d); View2D<T> y_TD(x_TD.data(), n, d);"), IsEmpty());
  EXPECT_THAT(labels("View1D<T> x(view_alloc(exec, Kokkos::WithoutInitializing, \"m2::\" + name), n);"), IsEmpty());
  EXPECT_THAT(labels("View1D<T> x(view_alloc(exec, label + \"_scale\"), n);"), IsEmpty());
  EXPECT_THAT(labels("View2D<const T> x_TD(\"x\", n, d);"), ElementsAre(HasSubstr("View label \"x\" is not")));
  EXPECT_THAT(labels("auto x = Kokkos::View<T*, Kokkos::LayoutRight, MemorySpace>{\"x\", n};"),
              ElementsAre(HasSubstr("View label")));
  EXPECT_THAT(labels("auto options = Kokkos::view_alloc(exec, \"x\");"),
              ElementsAre(HasSubstr("view_alloc without a label")));
  EXPECT_THAT(labels("auto options = Kokkos::view_alloc(exec, Kokkos::WithoutInitializing);"),
              ElementsAre(HasSubstr("view_alloc without")));
}

Breaches instances(const std::string& code) { return instance_breaches({"src/kernels/a.cpp", code}); }

TEST(Instances, PoliciesAreMadeWithExec) {
  EXPECT_THAT(instances("Kokkos::parallel_for(\"m2::a\", Kokkos::RangePolicy<ExecSpace>(exec, 0, n), f);"), IsEmpty());
  EXPECT_THAT(
      instances(
          "using Policy = Kokkos::TeamPolicy<ExecSpace>;\nconst auto f = [](const Policy::member_type& team) {};\n"
          "Kokkos::parallel_for(\"m2::a\", Policy(exec, n, Kokkos::AUTO), f);"),
      IsEmpty());
  EXPECT_THAT(instances("Kokkos::TeamPolicy<ExecSpace> rows(const ExecSpace& exec, int n) { return {exec, n, 1}; }"),
              IsEmpty());
  EXPECT_THAT(instances("Kokkos::RangePolicy<ExecSpace> policy(0, n);"),
              ElementsAre(HasSubstr(":1: RangePolicy is not made with exec")));
  EXPECT_THAT(instances("using Tiles = Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>>;\nTiles({0, 0}, {n, m});"),
              ElementsAre(HasSubstr(":2: Tiles is not made with exec")));
  EXPECT_THAT(instances("Kokkos::TeamPolicy<ExecSpace>(ExecSpace(), n, 1);"),
              ElementsAre(HasSubstr("TeamPolicy is not made with exec")));
  EXPECT_THAT(instances("Kokkos::parallel_for(\"m2::a\", n, f);"),
              ElementsAre(HasSubstr("parallel_for without a policy")));
}

TEST(Instances, CopiesAreMadeWithExec) {
  EXPECT_THAT(instances("Kokkos::deep_copy(exec, a, b); Kokkos::deep_copy(state.exec(), a, 0); values.resize(3);"),
              IsEmpty());
  EXPECT_THAT(instances("deep_copy(a, b);"), ElementsAre(HasSubstr("deep_copy without exec")));
  EXPECT_THAT(instances("Kokkos::create_mirror_view_and_copy(HostSpace{}, a);"),
              ElementsAre(HasSubstr("create_mirror_view_and_copy without exec")));
  EXPECT_THAT(instances("Kokkos::create_mirror_view_and_copy(Kokkos::view_alloc(exec, HostSpace{}), a);"), IsEmpty());
  EXPECT_THAT(instances("Kokkos::resize(a, 3);"), ElementsAre(HasSubstr("resize without exec")));
}

TEST(Instances, NobodyWaitsForEverything) {
  EXPECT_THAT(instances("exec.fence(\"m2::read_scalar\");"), IsEmpty());
  EXPECT_THAT(instances("Kokkos::fence();"), ElementsAre(HasSubstr("Kokkos::fence waits for every instance")));
}

TEST(Instances, TestsMayDoAsTheyLike) {
  EXPECT_THAT(instance_breaches({"tests/kernels/a.cpp", "Kokkos::fence();"}), IsEmpty());
}

TEST(Licence, IsTheFirstLine) {
  EXPECT_THAT(licence_breaches({"src/a.cpp", "// SPDX-License-Identifier: Apache-2.0\n"}), IsEmpty());
  EXPECT_THAT(licence_breaches({"cmake/a.sh", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"}), IsEmpty());
  EXPECT_THAT(licence_breaches({"docs/a.md", "# A page\n"}), IsEmpty());
  EXPECT_THAT(licence_breaches({"src/a.hpp", "#pragma once\n// SPDX-License-Identifier: Apache-2.0\n"}),
              ElementsAre(HasSubstr("src/a.hpp: the first line")));
  for (const std::string path : {"inputs/a.yaml", "tests/a.py", "inputs/a.sbatch", "cmake/a.cmake.in"}) {
    EXPECT_THAT(licence_breaches({path, "job: score\n"}), ElementsAre(HasSubstr(path)));
  }
}

TEST(Machine, NoPathsAndNoRegistries) {
  EXPECT_THAT(machine_breaches({"docs/a.md", "the mirror of the machine, work/main"}), IsEmpty());
  EXPECT_THAT(machine_breaches({"docs/a.md",
                                "\ncd /wo"
                                "rk/main"}),
              ElementsAre(HasSubstr("docs/a.md:2: holds")));
  EXPECT_THAT(machine_breaches({"cmake/a.sh",
                                "from deb.debian"
                                ".org"}),
              ElementsAre(HasSubstr("holds 'debian"
                                    ".org'")));
}

}  // namespace
}  // namespace m2::style
