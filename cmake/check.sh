#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the dependencies, builds everything and runs every check: format, GPU compilation, tests. Run it from anywhere.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

preset=openmp-release
failed=()

finish() {
  if [ ${#failed[@]} != 0 ]; then
    printf '\ncheck: FAILED after %d s: %s\n' $SECONDS "${failed[*]}"
    exit 1
  fi
  printf '\ncheck: everything passed in %d s\n' $SECONDS
  exit 0
}

need() { step "$@" || { failed+=("$1"); finish; }; } # what follows makes no sense without it
try() { step "$@" || failed+=("$1"); }

format_check() {
  local output
  output=$(find src apps tests docs -name '*.?pp' -print0 | xargs -0 clang-format-19 --dry-run -Werror 2>&1) && return
  grep -o '^[^: ]*\.[ch]pp' <<<"$output" | sort -u || echo "$output"
  echo "'clang-format-19 -i FILE' puts it right"
  return 1
}

# nccl_link_check says "no GPU to run on" where there is none, and is built only where NCCL is.
cuda_check() {
  configure cuda-check && build cuda-check || return
  local program=build/cuda-check/bin/nccl_link_check
  [ ! -x $program ] || $program
}

tests() {
  local shown=()
  [ ! -t 1 ] || shown=(--progress)
  # Most tests use two threads, but many wait: for ranks, for Slurm, for files.
  ctest --test-dir build/$preset --output-on-failure --no-tests=error --parallel "$(jobs)" "${shown[@]}"
}

need "dependencies" install_dependencies
try "format" format_check
need "configuration ($preset)" configure $preset
need "build ($preset)" build $preset
try "tests" tests
PATH=$PATH:/usr/local/cuda/bin
if command -v nvcc >/dev/null; then
  try "cuda-check: every source compiles for sm_90" cuda_check
else
  printf '\n==> cuda-check: skipped, nvcc is not installed here\n'
fi
finish
