#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the dependencies, builds everything and runs every check: format, GPU compilation, tests. Run it from anywhere.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

preset=openmp-release
failed=()

format_check() {
  local file status=0
  while IFS= read -r file; do
    clang-format-19 "$file" | cmp -s - "$file" || { echo "not formatted: $file"; status=1; }
  done < <(find src apps tests docs -name '*.?pp' | sort)
  [ $status = 0 ] || echo "clang-format-19 -i FILE... puts it right"
  return $status
}

cuda_check() { configure cuda-check && build cuda-check; }

tests() {
  local shown=()
  [ ! -t 1 ] || shown=(--progress)
  # Each test uses two threads.
  ctest --test-dir build/$preset --output-on-failure --no-tests=error --parallel $((($(jobs) + 1) / 2)) "${shown[@]}"
}

step "Dependencies" install_dependencies
step "Format" format_check || failed+=(format)
step "Configuration ($preset)" configure $preset
step "Build ($preset)" build $preset
PATH=$PATH:/usr/local/cuda/bin
if command -v nvcc >/dev/null; then
  step "Every source compiles for sm_90 (cuda-check)" cuda_check || failed+=(cuda-check)
else
  printf '\n==> cuda-check: skipped, nvcc is not installed here\n'
fi
step "Tests" tests || failed+=(tests)

if [ ${#failed[@]} != 0 ]; then
  printf '\ncheck: FAILED after %d s: %s\n' $SECONDS "${failed[*]}"
  exit 1
fi
printf '\ncheck: everything passed in %d s\n' $SECONDS
