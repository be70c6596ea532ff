// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace m2::test {

/// Watches Kokkos while the tests run: every kernel and every View must carry a label m2::..., and every kernel must
/// run on the instance the test passed.
void check_labels();

}  // namespace m2::test
