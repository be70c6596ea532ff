// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "style/code.hpp"

namespace m2::style {

/// Each rule returns its breaches, one line each: "src/io/a.cpp:3: what is wrong and what is right".
using Breaches = std::vector<std::string>;

/// A folder of src includes only lower levels and never a sibling; paths are written relative to src; x.cpp includes
/// x.hpp first, which compiles every such header alone.
Breaches layer_breaches(const std::vector<File>& files);

/// No header includes itself through others.
Breaches cycle_breaches(const std::vector<File>& files);

/// A vendor's header is included in its one folder only, and some in one file only.
Breaches vendor_breaches(const std::vector<File>& files);

/// config, io and text reach no Kokkos header, not even through another one: fuzzers and tools build without it.
Breaches kokkos_free_breaches(const std::vector<File>& files);

/// Every kernel and every View of src is labelled "m2::...".
Breaches label_breaches(const File& file);

/// Every policy, deep_copy and mirror of src is made with the instance that was passed; Kokkos::fence is not called.
Breaches instance_breaches(const File& file);

/// A file has 300 lines at most, a function 60, its comment not counted.
Breaches length_breaches(const File& file);

/// Constants are kCamelCase; a number is converted by T(x), a pointer by static_cast<T*>(x), nothing by (T)x.
Breaches spelling_breaches(const File& file);

/// No source above kernels and comm asks the preprocessor which backend it is compiled for.
Breaches backend_breaches(const File& file);

/// Every source, script and CMake file names its licence in the first line (after #!).
Breaches licence_breaches(const File& file);

/// No package registry's host and no path of one machine is written down.
Breaches machine_breaches(const File& file);

}  // namespace m2::style
