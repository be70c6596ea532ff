# SPDX-License-Identifier: Apache-2.0
# Installs BUILD_DIR below WORK_DIR, builds PROJECT_DIR/docs/example against it with the compiler CXX and runs it.
file(REMOVE_RECURSE ${WORK_DIR})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "this failed (${result}): ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

set(flags "")
if(SANITIZERS) # a sanitized static library needs the sanitizer's runtime in the program
  set(flags "-fsanitize=${SANITIZERS}")
endif()
run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${WORK_DIR}/prefix)
file(GLOB_RECURSE package_files ${WORK_DIR}/prefix/*.cmake)
foreach(file IN LISTS package_files)
  file(STRINGS ${file} leaks REGEX "${PROJECT_DIR}/src")
  if(leaks)
    message(FATAL_ERROR "${file} mentions the source tree: ${leaks}")
  endif()
endforeach()
run(${CMAKE_COMMAND} -G Ninja -S ${PROJECT_DIR}/docs/example -B ${WORK_DIR}/build -DCMAKE_PREFIX_PATH=${WORK_DIR}/prefix
  -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_CXX_FLAGS=${flags} -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${WORK_DIR}/build)
run(${CMAKE_COMMAND} -E env OMP_PROC_BIND=false ${WORK_DIR}/build/example ${PROJECT_DIR}/tests/data/tiny-f32
  93 42 101 159 62 189 48) # the prompt of the reference
message("${output}")
run(${CMAKE_COMMAND} -E env OMP_PROC_BIND=false ${WORK_DIR}/build/train ${PROJECT_DIR}/tests/data/tiny-f32
  ${WORK_DIR}/trained 93 42 101 159 62 189 48)
if(NOT output MATCHES "step 10: loss [01]\\." OR NOT EXISTS ${WORK_DIR}/trained/model.safetensors)
  message(FATAL_ERROR "this failed: the training example does not learn seven tokens by heart:\n${output}")
endif()
