// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/views.hpp"

namespace m2::test {

/// The instance that tests pass to operations: on a GPU not the default one, so that a kernel launched on the default
/// instance by mistake is noticed. (Kokkos gives all OpenMP instances one id; there tests/style reads the sources.)
const ExecSpace& exec();

/// An instance with this many threads, where they can be chosen (OpenMP); else exec().
ExecSpace with_threads(int num_threads);

/// Ends the instance of exec(), before Kokkos is finalised.
void release_exec();

}  // namespace m2::test
