# SPDX-License-Identifier: Apache-2.0
# How a library, a program and a test of KokkosM2 are declared.

# Sources that differ between backends come as pairs, <name>_cuda.cpp beside <name>_host.cpp (or _none): one is compiled.
if(Kokkos_ENABLE_CUDA OR M2_CUDA_CHECK)
  set(M2_BUILDS_CUDA ON)
else()
  set(M2_BUILDS_CUDA OFF)
endif()

# Compiles what was compiled before, in any build folder, from the cache.
find_program(M2_CCACHE ccache)
mark_as_advanced(M2_CCACHE)
if(M2_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER AND PROJECT_IS_TOP_LEVEL)
  # Precompiled headers are compared by their contents, and the folder of the project is no part of what is compared.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${M2_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

add_library(m2_options INTERFACE)
target_compile_features(m2_options INTERFACE cxx_std_20)

# What only this build wants: warnings, the machine's instructions, sanitizers. Not exported.
add_library(m2_build_options INTERFACE)
set(m2_warnings -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
# GCC sees overflows in std::string's operator+ that are not there (its bug 105651), in other places with each inlining.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  list(APPEND m2_warnings -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow)
endif()
if(M2_SANITIZERS AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  list(APPEND m2_warnings -Wno-maybe-uninitialized) # its manual: sanitizers make it warn of what is initialised
endif()
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  list(APPEND m2_warnings -Wno-subobject-linkage) # for an unnamed namespace that is not in the file given to the compiler
endif()
if(M2_WARNINGS_AS_ERRORS)
  list(APPEND m2_warnings -Werror)
endif()
target_compile_options(m2_build_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${m2_warnings}>")
# A contracted a*b+c rounds once instead of twice; whether the compiler does it may differ between two copies of one loop,
# and then a token's bits would depend on the batch it came in. Kernels that want it call fma by name.
target_compile_options(m2_build_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>")
if(M2_ENABLE_NATIVE AND NOT M2_CUDA_CHECK)
  target_compile_options(m2_build_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-march=native>")
endif()
if(M2_SANITIZERS)
  target_compile_options(m2_build_options INTERFACE -fsanitize=${M2_SANITIZERS} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(m2_build_options INTERFACE -fsanitize=${M2_SANITIZERS})
endif()

if(M2_CUDA_CHECK)
  include(KokkosM2CudaCheck)
endif()

# m2_precompile(<target> <header>... | REUSE_FROM <other target>): GCC reads the large headers of the dependencies once for
# a target, or once for several, which halves the time of a build. A source that forgets an include is noticed all the same:
# cuda-check compiles without them.
function(m2_precompile target)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT M2_CUDA_CHECK AND NOT Kokkos_ENABLE_CUDA)
    if(ARGV1 STREQUAL REUSE_FROM)
      target_precompile_headers(${target} ${ARGN})
    else()
      target_precompile_headers(${target} PRIVATE ${ARGN})
    endif()
    if(M2_CCACHE)
      target_compile_options(${target} PRIVATE -fpch-preprocess) # how ccache sees what a precompiled header depends on
    endif()
  endif()
endfunction()

# m2_library(<folder> [SOURCES ...] [PUBLIC libraries...] [PRIVATE libraries...]): the library of src/<folder>.
function(m2_library folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;PUBLIC;PRIVATE")
  set(target m2_${folder})
  if(M2_CUDA_CHECK)
    add_library(${target} OBJECT ${arg_SOURCES})
    m2_compile_for_cuda(${target} ${arg_SOURCES})
  else()
    add_library(${target} ${arg_SOURCES})
  endif()
  add_library(KokkosM2::${folder} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${folder})
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/kokkosm2>)
  target_link_libraries(${target} PUBLIC m2_options ${arg_PUBLIC} PRIVATE $<BUILD_INTERFACE:m2_build_options> ${arg_PRIVATE})
  set_property(GLOBAL APPEND PROPERTY M2_LIBRARIES ${target})
endfunction()

# m2_program(<name> SOURCES ... LIBRARIES ...): a program of apps/, in <build>/bin.
function(m2_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBRARIES")
  if(M2_CUDA_CHECK)
    add_library(${name} OBJECT ${arg_SOURCES})
    m2_compile_for_cuda(${name} ${arg_SOURCES})
  else()
    add_executable(${name} ${arg_SOURCES})
    set_property(GLOBAL APPEND PROPERTY M2_PROGRAMS ${name})
  endif()
  target_link_libraries(${name} PRIVATE m2_build_options ${arg_LIBRARIES})
endfunction()

# m2_time_limit(<variable> <seconds>): five times as much for sanitizers.
function(m2_time_limit variable seconds)
  if(M2_SANITIZERS)
    math(EXPR seconds "${seconds} * 5")
  endif()
  set(${variable} ${seconds} PARENT_SCOPE)
endfunction()

# m2_test(<name> SOURCES ... LIBRARIES ... [LABELS ...] [TIMEOUT seconds]): a GoogleTest program; ctest lists each of its
# tests. M2_TEST_DATA is tests/data, M2_BINARY_DIR the folder of the programs.
function(m2_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LIBRARIES;LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  m2_time_limit(arg_TIMEOUT ${arg_TIMEOUT})
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  target_link_libraries(${name} PRIVATE m2_build_options m2_test_support ${arg_LIBRARIES})
  m2_precompile(${name} REUSE_FROM m2_test_support)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "OMP_PROC_BIND=false;OMP_WAIT_POLICY=passive;OMP_NUM_THREADS=2")
endfunction()

# m2_mpi_test(<name> SOURCES ... LIBRARIES ... RANKS 1 2 ... [LABELS ...] [TIMEOUT seconds] [TCP ranks] [TWO_HOSTS ranks of
# each]): a GoogleTest program that runs as several ranks (support/ranks.hpp). ctest lists a test <name>.<N>ranks for each
# number, <name>.tcp (TCP instead of shared memory) and <name>.two_hosts (support/two_hosts.sh).
function(m2_mpi_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT;TCP;TWO_HOSTS" "SOURCES;LIBRARIES;LABELS;RANKS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  m2_time_limit(arg_TIMEOUT ${arg_TIMEOUT})
  add_executable(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/support/ranks_main.cpp)
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  target_link_libraries(${name} PRIVATE m2_build_options m2_test_support m2_comm ${arg_LIBRARIES})
  m2_precompile(${name} REUSE_FROM m2_test_support)
  foreach(ranks IN LISTS arg_RANKS)
    m2_add_mpi_test(${name}.${ranks}ranks ${ranks} ${arg_TIMEOUT} "${arg_LABELS}" $<TARGET_FILE:${name}>)
  endforeach()
  if(arg_TCP)
    m2_add_mpi_test(${name}.tcp ${arg_TCP} ${arg_TIMEOUT} "${arg_LABELS}" $<TARGET_FILE:${name}>)
    set_property(TEST ${name}.tcp APPEND PROPERTY ENVIRONMENT OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo)
  endif()
  if(arg_TWO_HOSTS)
    add_test(NAME ${name}.two_hosts COMMAND ${PROJECT_SOURCE_DIR}/tests/support/two_hosts.sh ${MPIEXEC_EXECUTABLE} ${arg_TWO_HOSTS}
      $<TARGET_FILE:${name}>)
    set_tests_properties(${name}.two_hosts PROPERTIES LABELS "mpi;${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77
      RESOURCE_LOCK two_hosts ENVIRONMENT "${m2_mpi_environment}")
  endif()
endfunction()

# Open MPI refuses root and more ranks than cores unless told otherwise (its versions 4 and 5 have different names for
# that); other libraries do not look at these variables.
set(m2_mpi_environment OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=true
  PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe OMPI_MCA_btl=self,sm OMP_NUM_THREADS=1 OMP_PROC_BIND=false
  KOKKOS_DISABLE_WARNINGS=1)
set(m2_sanitizer_environment "")
if(M2_SANITIZERS)
  set(m2_sanitizer_environment ASAN_OPTIONS=detect_leaks=0) # Open MPI keeps memory until the process ends
  list(APPEND m2_mpi_environment ${m2_sanitizer_environment})
endif()

# m2_add_mpi_test(<test> <ranks> <timeout> <labels> <command>...)
function(m2_add_mpi_test test ranks timeout labels)
  add_test(NAME ${test} COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} ${MPIEXEC_PREFLAGS} ${ARGN})
  set_tests_properties(${test} PROPERTIES LABELS "mpi;${labels}" TIMEOUT ${timeout} PROCESSORS ${ranks}
    ENVIRONMENT "${m2_mpi_environment}")
endfunction()

function(m2_print_summary)
  foreach(package IN ITEMS KokkosKernels dnnl NCCL)
    if(NOT "${package}" IN_LIST M2_OPTIONAL_PACKAGES)
      set(${package}_VERSION no)
    endif()
  endforeach()
  message(STATUS "KokkosM2 ${PROJECT_VERSION}: ${CMAKE_BUILD_TYPE}, Kokkos ${Kokkos_VERSION} (${Kokkos_DEVICES}), Kokkos Kernels "
    "${KokkosKernels_VERSION}, HDF5 ${HDF5_VERSION}, oneDNN ${dnnl_VERSION}, MPI ${MPI_CXX_VERSION}, NCCL ${NCCL_VERSION}, tests ${M2_ENABLE_TESTS}, "
    "native ${M2_ENABLE_NATIVE}, sanitizers '${M2_SANITIZERS}', cuda check ${M2_CUDA_CHECK}")
endfunction()
