# SPDX-License-Identifier: Apache-2.0
# Sourced by check.sh and demo.sh: runs their steps from the project's root, saying what is done and how long it took.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { # step TITLE COMMAND...: returns the command's exit code
  local title=$1 begin=$SECONDS status=0
  shift
  printf '\n==> %s\n' "$title"
  "$@" || status=$?
  if [ $status = 0 ]; then
    printf '    %s: %d s\n' "$title" $((SECONDS - begin))
  else
    printf '    %s: failed with code %d after %d s\n' "$title" $status $((SECONDS - begin)) >&2
  fi
  return $status
}

install_dependencies() {
  local status=0
  bash cmake/bootstrap.sh || status=$?
  # 3: not Debian 12 or 13. There the dependencies come from elsewhere (docs/install.md), and CMake says what is missing.
  [ $status = 3 ] || return $status
}

jobs() { # compilers to run at once: every core, but 2 GB of memory for each
  local cores by_memory
  cores=$(nproc)
  by_memory=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
  by_memory=$((${by_memory:-0} / 2097152))
  [ $by_memory -ge 1 ] || by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

configure() { cmake --preset "$1" >"$(log_of "configure-$1")" || { cat "$(log_of "configure-$1")"; return 1; }; }

build() { # build PRESET [TARGET...]
  local preset=$1 targets=()
  shift
  [ $# = 0 ] || targets=(--target "$@")
  cmake --build --preset "$preset" --parallel "$(jobs)" "${targets[@]}"
}

log_of() {
  mkdir -p build
  echo "build/$1.log"
}
