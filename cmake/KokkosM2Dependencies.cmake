# SPDX-License-Identifier: Apache-2.0
# Every dependency by find_package alone, so that Debian, Spack and module systems serve the same lines. Included by the
# build, where each is required, and by the installed KokkosM2Config.cmake, where a missing one means "KokkosM2 not found".
include(CMakeFindDependencyMacro)

macro(m2_find_dependency)
  if(CMAKE_FIND_PACKAGE_NAME)
    find_dependency(${ARGN})
  else()
    find_package(${ARGN} REQUIRED)
  endif()
endmacro()

m2_find_dependency(Threads)
m2_find_dependency(MPI COMPONENTS CXX) # for comm; Debian's parallel HDF5 includes mpi.h, too
set(HDF5_PREFER_PARALLEL ON)
m2_find_dependency(HDF5 COMPONENTS C)
m2_find_dependency(Kokkos 4.6.99 CONFIG)
m2_find_dependency(KokkosKernels CONFIG)
m2_find_dependency(yaml-cpp CONFIG)
m2_find_dependency(nlohmann_json CONFIG)
m2_find_dependency(fmt CONFIG)
m2_find_dependency(CLI11 CONFIG)
m2_find_dependency(PCRE2)
m2_find_dependency(XxHash)
m2_find_dependency(dnnl CONFIG)
if(Kokkos_ENABLE_CUDA OR M2_CUDA_CHECK)
  find_package(NCCL QUIET) # without it ranks exchange arrays through MPI
endif()
