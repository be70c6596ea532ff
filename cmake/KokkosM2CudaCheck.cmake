# SPDX-License-Identifier: Apache-2.0
# Compiles for sm_90 with nvcc where Kokkos was built without CUDA. The packaged headers hold the CUDA backend, switched
# off; a folder of small headers in front of them switches it on. The objects are complete but cannot be linked, because
# the CUDA part of Kokkos' library is missing: enough to refuse code that does not compile for the GPU.
if(Kokkos_ENABLE_CUDA)
  message(FATAL_ERROR "M2_CUDA_CHECK is for a Kokkos without CUDA; this one has it: use the preset cuda-release.")
endif()
set(CMAKE_CUDA_ARCHITECTURES 90-real)
set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
enable_language(CUDA)

get_target_property(m2_kokkos_include Kokkos::kokkoscore INTERFACE_INCLUDE_DIRECTORIES)
find_path(m2_kokkos_headers KokkosCore_config.h HINTS ${m2_kokkos_include} REQUIRED NO_DEFAULT_PATH)
set(m2_overlay ${CMAKE_BINARY_DIR}/kokkos-cuda-headers)

# The packaged header, then the macros `ARGN`.
function(m2_overlay_config header)
  file(READ ${m2_kokkos_headers}/${header} text)
  foreach(macro IN LISTS ARGN)
    string(APPEND text "\n#ifndef ${macro}\n#define ${macro}\n#endif\n")
  endforeach()
  file(CONFIGURE OUTPUT ${m2_overlay}/${header} CONTENT "${text}" @ONLY)
endfunction()
m2_overlay_config(KokkosCore_config.h KOKKOS_ENABLE_CUDA KOKKOS_ENABLE_CUDA_LAMBDA KOKKOS_ARCH_HOPPER KOKKOS_ARCH_HOPPER90)
m2_overlay_config(desul/atomics/Config.hpp DESUL_ATOMICS_ENABLE_CUDA)
file(CONFIGURE OUTPUT ${m2_overlay}/KokkosCore_Config_FwdBackend.hpp
  CONTENT "#pragma once\n#include <fwd/Kokkos_Fwd_OPENMP.hpp>\n#include <fwd/Kokkos_Fwd_CUDA.hpp>\n")
file(CONFIGURE OUTPUT ${m2_overlay}/KokkosCore_Config_DeclareBackend.hpp
  CONTENT "#pragma once\n#include <decl/Kokkos_Declare_OPENMP.hpp>\n#include <decl/Kokkos_Declare_CUDA.hpp>\n")
file(CONFIGURE OUTPUT ${m2_overlay}/KokkosCore_Config_SetupBackend.hpp
  CONTENT "#pragma once\n#include <setup/Kokkos_Setup_Cuda.hpp>\n")

# A host function called from a device lambda is only a warning to nvcc, so warnings are errors here.
function(m2_compile_for_cuda target)
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CUDA)
  set_target_properties(${target} PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON)
  target_include_directories(${target} BEFORE PRIVATE ${m2_overlay})
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 13) # nothing runs here: device code need not be fast
    target_compile_options(${target} PRIVATE --Ofast-compile=max)
  endif()
  target_compile_options(${target} PRIVATE --extended-lambda --expt-relaxed-constexpr --Werror=all-warnings -Xcompiler=-fopenmp)
endfunction()
