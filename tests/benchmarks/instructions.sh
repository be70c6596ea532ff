#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Instructions per token that m2 executes on the fixtures with one thread, as valgrind's callgrind counts them: exact,
# on a busy machine too. prefill: of scoring, tokens 65 to 128 of a text; decode: of generating, tokens 17 to 48 after
# 16 given ones. Both are differences of two runs. Prints them beside those of instructions.txt, which --record writes.
# Another compiler, processor or library gives others, and valgrind has no AVX-512, so native instructions are off:
#   cmake --preset openmp-release -B build/portable -DM2_ENABLE_NATIVE=OFF
#   cmake --build build/portable --target bench_instructions
# usage: tests/benchmarks/instructions.sh BUILD_DIR [--record]
set -euo pipefail
if [ $# -lt 1 ] || [ $# -gt 2 ] || [ "${2:---record}" != --record ]; then
  sed -n '3,9s/^# \{0,1\}//p' "$0"
  exit 2
fi
fail() { echo "instructions.sh: $*" >&2; exit 1; }
[ -x "$1/bin/m2" ] || fail "$1/bin/m2 is not there; build the target m2"
build=$(realpath "$1") record=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
recorded=tests/benchmarks/instructions.txt
export OMP_NUM_THREADS=1 OMP_PROC_BIND=false KOKKOS_DISABLE_WARNINGS=1

cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
if [ "$(cached M2_ENABLE_NATIVE)" != OFF ] || [ "$(cached CMAKE_BUILD_TYPE)" != Release ] ||
  [[ $(cached CMAKE_UNITY_BUILD) =~ ON|TRUE|1 ]]; then
  fail "$1 is another kind of build; configure: cmake --preset openmp-release -B build/portable -DM2_ENABLE_NATIVE=OFF"
fi
command -v valgrind >/dev/null || fail "valgrind is not installed"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
text() { # text TOKENS: a line of input
  awk -v n="$1" 'BEGIN {
    for (i = 0; i < n; ++i) ids = ids (i ? ", " : "") 7919 * i % 384
    print "{\"token_ids\": [" ids "]}"
  }'
}
for tokens in 16 64 128; do text "$tokens" >"$scratch/$tokens.jsonl"; done
cat >"$scratch/score.yaml" <<TEXT
job: score
model: {checkpoint: none}
data: {file: none}
TEXT
cat >"$scratch/generate.yaml" <<TEXT
job: generate
model: {checkpoint: none}
prompts: {file: $scratch/16.jsonl}
sampling: {temperature: 0, ignore_eos: true}
TEXT

kernel=portable
count() { # count JOB KEYS...: `counted` is then the instructions of its steps: no start, loading or progress
  valgrind --tool=callgrind --callgrind-out-file="$scratch/profile" \
    --toggle-collect='m2::Scorer::step(*' --toggle-collect='m2::Generator::step(*' \
    "$build/bin/m2" "$scratch/$1.yaml" "${@:2}" output.file="$scratch/out.jsonl" >"$scratch/log" 2>&1 ||
    { cat "$scratch/log" >&2; fail "$1 ${*:2}: failed under $(valgrind --version)"; }
  counted=$(sed -n 's/.*Collected : *//p' "$scratch/log")
  ((counted > 0)) || fail "nothing was counted: Scorer::step and Generator::step are no functions of this m2"
  if grep -q 'multiply_panel' "$scratch/profile"; then kernel=avx2; fi
}

measure() { # measure NAME KEYS...
  local few
  count score "${@:2}" data.file="$scratch/64.jsonl"
  few=$counted
  count score "${@:2}" data.file="$scratch/128.jsonl"
  local prefill=$(((counted - few) / 64))
  count generate "${@:2}" sampling.max_new_tokens=16
  few=$counted
  count generate "${@:2}" sampling.max_new_tokens=48
  echo "$1 $prefill $(((counted - few) / 32))" >>"$scratch/table"
}

# The config.json of tiny-bf16 says float32, with which nothing lies in panels.
measure tiny-f32 model.checkpoint=tests/data/tiny-f32
measure tiny-bf16 model.checkpoint=tests/data/tiny-bf16 model.dtype=bfloat16
measure tiny-fp8 model.checkpoint=tests/data/tiny-fp8
measure demo model.checkpoint=inputs/demo/checkpoint

with="$("$(cached CMAKE_CXX_COMPILER)" --version | head -1), panel kernel $kernel, $(valgrind --version)"
echo "$with"
if [ -n "$record" ]; then
  {
    echo "# Instructions per token, written by tests/benchmarks/instructions.sh BUILD_DIR --record"
    echo "# with: $with"
    echo "# date: $(date -u +%F)"
    echo "# fixture, prefill, decode"
    cat "$scratch/table"
  } >"$recorded"
  cat "$scratch/table"
  exit
fi
[ -r "$recorded" ] || { cat "$scratch/table"; fail "$recorded is not there; --record writes it"; }
printf '%-10s %12s %12s %9s %12s %12s %9s\n' fixture prefill recorded change decode recorded change
awk 'NR == FNR { if ($1 != "#") { prefill[$1] = $2; decode[$1] = $3 } next }
  !($1 in prefill) { printf "%-10s %12d %12s %9s %12d %12s %9s\n", $1, $2, "-", "-", $3, "-", "-"; next }
  { printf "%-10s %12d %12d %+8.2f%% %12d %12d %+8.2f%%\n", $1, $2, prefill[$1], 100 * ($2 / prefill[$1] - 1),
      $3, decode[$1], 100 * ($3 / decode[$1] - 1) }' "$recorded" "$scratch/table"
before=$(sed -n 's/^# with: //p' "$recorded")
[ "$before" = "$with" ] || echo "These cannot be compared: recorded were those of $before"
