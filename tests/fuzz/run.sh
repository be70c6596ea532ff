#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/fuzz/run.sh SECONDS [NAME...]
# Builds the fuzz targets and runs each (or those named, such as config) for SECONDS. Corpora and findings are kept in
# build/fuzz. Ends with 1 if anything was found.
set -euo pipefail

usage() { sed -n 's/^# //p' "${BASH_SOURCE[0]}" | sed -n 2,4p; }
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || { usage >&2; exit 2; }
seconds=$1
names=("${@:2}")
source "$(dirname "${BASH_SOURCE[0]}")/../../cmake/steps.sh"
command -v clang++-19 >/dev/null || { echo "clang++-19 is missing: cmake/bootstrap.sh --with-fuzz installs it" >&2; exit 1; }

step "Configuration (fuzz)" configure fuzz
step "Build (fuzz)" build fuzz
if [ ${#names[@]} = 0 ]; then
  for source in tests/fuzz/fuzz_*.cpp; do
    name=${source##*/fuzz_}
    names+=("${name%.cpp}")
  done
fi

seed() { # seed NAME FOLDER: small valid inputs to start from
  case $1 in
    config) cp tests/data/tiny-fp8/config.json "$2/fp8.json" && cp tests/data/tiny-f32/*config.json "$2/" ;;
    deck) for deck in inputs/*/*.yaml; do cp "$deck" "$2/$(tr / - <<<"$deck")"; done ;;
    tokenizer) { cat tests/fuzz/seeds/tokenizer.json; printf '\0hello world <think>\n ]~b]1,234'; } >"$2/tiny" ;;
    safetensors) # one tensor of 2 x 2 float32
      { printf '\x39\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'; head -c 16 /dev/zero; } >"$2/one" ;;
    hdf5 | hdf5_objects) : ;; # they make their files themselves
  esac
}

found=0
for name in "${names[@]}"; do
  program=build/fuzz/bin/fuzz_$name
  [ -x "$program" ] || { echo "there is no fuzz target '$name'" >&2; exit 2; }
  corpus=build/fuzz/corpus/$name
  findings=build/fuzz/findings/$name
  log=$(log_of "fuzz-$name")
  mkdir -p "$corpus" "$findings"
  seed "$name" "$corpus"
  status=0
  "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
    -artifact_prefix="$findings/" "$corpus" >"$log" 2>&1 || status=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  if [ $status = 0 ]; then
    printf '%-12s %12s executions, no finding\n' "$name" "$executions"
  else
    printf '%-12s %12s executions, FOUND one: %s and %s\n' "$name" "${executions:-?}" "$findings" "$log"
    found=1
  fi
done
exit $found
