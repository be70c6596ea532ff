# SPDX-License-Identifier: Apache-2.0
# Every dependency by find_package alone, so that Debian, Spack and module systems serve the same lines. Included by the
# build and by the installed KokkosM2Config.cmake, where a missing one means "KokkosM2 not found".
include(CMakeFindDependencyMacro)

macro(m2_find_dependency)
  if(CMAKE_FIND_PACKAGE_NAME)
    find_dependency(${ARGN})
  else()
    find_package(${ARGN} REQUIRED)
  endif()
endmacro()

if(NOT CMAKE_FIND_PACKAGE_NAME)
  set(M2_OPTIONAL_PACKAGES "")
endif()
# What a build can do without. M2_OPTIONAL_PACKAGES are those it has; the installed libraries need exactly those again.
macro(m2_find_optional package)
  if(NOT CMAKE_FIND_PACKAGE_NAME)
    find_package(${package} QUIET ${ARGN})
    if(${package}_FOUND)
      list(APPEND M2_OPTIONAL_PACKAGES ${package})
    endif()
  elseif("${package}" IN_LIST M2_OPTIONAL_PACKAGES)
    find_dependency(${package} ${ARGN})
  endif()
endmacro()

m2_find_dependency(Threads)
m2_find_dependency(MPI COMPONENTS CXX) # for comm; Debian's parallel HDF5 includes mpi.h, too
set(HDF5_PREFER_PARALLEL ON)
m2_find_dependency(HDF5 COMPONENTS C)
m2_find_dependency(Kokkos 4.6.99 CONFIG)
m2_find_optional(KokkosKernels CONFIG) # the provider kokkos_kernels
m2_find_dependency(yaml-cpp CONFIG)
m2_find_dependency(nlohmann_json CONFIG)
m2_find_dependency(fmt CONFIG)
m2_find_dependency(CLI11 CONFIG)
m2_find_dependency(PCRE2)
m2_find_dependency(XxHash)
if(Kokkos_ENABLE_CUDA OR M2_CUDA_CHECK)
  m2_find_optional(NCCL) # without it ranks exchange arrays through MPI
else()
  m2_find_optional(dnnl CONFIG) # the provider onednn, which multiplies on hosts
endif()
