// SPDX-License-Identifier: Apache-2.0
// The rules, applied to this source tree.
#include <gmock/gmock.h>

#include <algorithm>

#include "style/rules.hpp"

namespace m2::style {
namespace {

using ::testing::IsEmpty;

class Project : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files() = project_files(M2_SOURCE_DIR);
    ASSERT_GT(files().size(), 20u) << "no project at " M2_SOURCE_DIR;
  }
  static std::vector<File>& files() {
    static std::vector<File> files;
    return files;
  }
  static Breaches in_each(Breaches (*rule)(const File&)) {
    Breaches all;
    for (const File& file : files()) {
      for (std::string& breach : rule(file)) all.push_back(std::move(breach));
    }
    return all;
  }
};

TEST_F(Project, FilesOfEveryKindAreRead) {
  for (const std::string ending : {".cpp", ".hpp", ".cmake", ".cmake.in", ".sh", ".sbatch", ".py", ".yaml", ".md"}) {
    EXPECT_TRUE(std::ranges::any_of(files(), [&](const File& file) { return file.path.ends_with(ending); })) << ending;
  }
}

TEST_F(Project, IncludesFollowTheLevels) { EXPECT_THAT(layer_breaches(files()), IsEmpty()); }

TEST_F(Project, NoHeaderIncludesItself) { EXPECT_THAT(cycle_breaches(files()), IsEmpty()); }

TEST_F(Project, FilesAndFunctionsAreShort) { EXPECT_THAT(in_each(length_breaches), IsEmpty()); }

TEST_F(Project, ConstantsAndCastsAreSpelledOneWay) { EXPECT_THAT(in_each(spelling_breaches), IsEmpty()); }

TEST_F(Project, TheBackendIsChosenByCMakeAboveKernels) { EXPECT_THAT(in_each(backend_breaches), IsEmpty()); }

TEST_F(Project, VendorHeadersStayInTheirFolder) { EXPECT_THAT(vendor_breaches(files()), IsEmpty()); }

TEST_F(Project, ConfigIoAndTextAreFreeOfKokkos) { EXPECT_THAT(kokkos_free_breaches(files()), IsEmpty()); }

TEST_F(Project, KernelsAndViewsAreLabelled) { EXPECT_THAT(in_each(label_breaches), IsEmpty()); }

TEST_F(Project, KernelsRunOnTheInstanceTheyAreGiven) { EXPECT_THAT(in_each(instance_breaches), IsEmpty()); }

TEST_F(Project, EverySourceNamesItsLicence) { EXPECT_THAT(in_each(licence_breaches), IsEmpty()); }

TEST_F(Project, NothingIsTrueOnOneMachineOnly) { EXPECT_THAT(in_each(machine_breaches), IsEmpty()); }

}  // namespace
}  // namespace m2::style
