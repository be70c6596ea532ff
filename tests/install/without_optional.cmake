# SPDX-License-Identifier: Apache-2.0
# Configures PROJECT_DIR in WORK_DIR without the packages that are optional, compiles what stands in for their providers,
# and looks whether an installation would ask for them all the same.
file(REMOVE_RECURSE ${WORK_DIR})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "this failed (${result}): ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run(${CMAKE_COMMAND} -G Ninja -S ${PROJECT_DIR} -B ${WORK_DIR} -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_BUILD_TYPE=Debug
  -DCMAKE_DISABLE_FIND_PACKAGE_KokkosKernels=ON -DCMAKE_DISABLE_FIND_PACKAGE_dnnl=ON -DM2_ENABLE_TESTS=OFF
  -DM2_ENABLE_BENCHMARKS=OFF -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON)
string(REGEX MATCH "KokkosM2 [0-9.]+: [^\n]*" summary "${output}")
set(gemm src/kernels/CMakeFiles/m2_kernels.dir/gemm)
run(${CMAKE_COMMAND} --build ${WORK_DIR} --target ${gemm}/gemm_kokkos_kernels_none.cpp.o ${gemm}/gemm_onednn_none.cpp.o)
file(GLOB_RECURSE package_files ${WORK_DIR}/CMakeFiles/Export/*.cmake ${WORK_DIR}/KokkosM2Config.cmake)
if(NOT package_files)
  message(FATAL_ERROR "this failed: no package files in ${WORK_DIR}")
endif()
foreach(file IN LISTS package_files)
  file(STRINGS ${file} found REGEX "dnnl|kokkoskernels|KokkosKernels")
  if(found)
    message(FATAL_ERROR "this failed: ${file} asks for an optional package: ${found}")
  endif()
endforeach()
message("${summary}")
