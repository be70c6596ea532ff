# SPDX-License-Identifier: Apache-2.0
# Every dependency by find_package alone, so that Debian, Spack and module systems serve the same lines. Included by the
# build and by the installed KokkosM2Config.cmake.
include(CMakeFindDependencyMacro)

find_dependency(Threads)
find_dependency(MPI COMPONENTS CXX) # Debian's parallel HDF5 includes mpi.h
set(HDF5_PREFER_PARALLEL ON)
find_dependency(HDF5 COMPONENTS C)
find_dependency(Kokkos 4.6.99 CONFIG)
find_dependency(KokkosKernels CONFIG)
find_dependency(yaml-cpp CONFIG)
find_dependency(nlohmann_json CONFIG)
find_dependency(fmt CONFIG)
find_dependency(CLI11 CONFIG)
find_dependency(PCRE2)
find_dependency(XxHash)
find_dependency(dnnl CONFIG)
