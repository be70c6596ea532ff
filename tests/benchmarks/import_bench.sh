#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How fast m2-convert import is, measured against cp of the same files in the same run, with the files in the page cache
# (warm) and not (cold). Both end when everything is on the disk, because import always does; on a tmpfs that costs
# nothing, and the comparison is from page cache to page cache.
#
# usage: import_bench.sh BUILD_DIR SCRATCH_DIR [LAYERS EXPERTS DTYPE [REPEATS [RANKS]]]
# MPIEXEC is the launcher of several ranks and its options, up to the one before their number ("mpirun -n").
# SCRATCH_DIR needs room for twice the checkpoint; the default one has 4.5 GB.
set -euo pipefail
shopt -s inherit_errexit

if [[ $# -lt 2 ]]; then
  sed -n '3,9s/^# \{0,1\}//p' "$0"
  exit 2
fi
bin=$1/bin
scratch=$2/m2_import_bench
layers=${3:-3} experts=${4:-96} dtype=${5:-float8_e4m3fn} repeats=${6:-5} ranks=${7:-1}
launch=()
if ((ranks > 1)); then read -ra launch <<<"${MPIEXEC:-mpirun -n} $ranks"; fi

mkdir "$scratch"
trap 'rm -rf "$scratch"' EXIT
"$bin/make_checkpoint" "$scratch/in" "$layers" "$experts" "$dtype"
sync
gigabytes=$(du -sb "$scratch/in" | awk '{printf "%.2f", $1 / 1e9}')
echo "checkpoint: $gigabytes GB, $dtype, $layers layers, $experts experts; $ranks ranks; median of $repeats"

# Drops a file from the page cache; works without root, once it is on the disk.
evict() { for file in "$@"; do dd if="$file" iflag=nocache count=0 status=none; done; }
warm() { cat "$scratch"/in/* >/dev/null; }
cold() { evict "$scratch"/in/*; }

copy() { cp -r "$scratch/in" "$scratch/out" && sync "$scratch"/out/*; }
import() { "${launch[@]}" "$bin/m2-convert" import "$scratch/in" "$scratch/out" >/dev/null; }

# Seconds that the job $2 takes with the cache in the state $1.
seconds_of() {
  local start end
  rm -rf "$scratch/out"
  sync -f "$scratch"
  "$1"
  start=$(date +%s.%N)
  "$2"
  end=$(date +%s.%N)
  awk -v start="$start" -v end="$end" 'BEGIN {print end - start}'
}

median() { printf '%s\n' "$@" | sort -g | sed -n "$((($# + 1) / 2))p"; }

for cache in warm cold; do
  copied=() imported=()
  for ((i = 0; i < repeats; ++i)); do # in turn, so that a disk that slows down slows both
    took=$(seconds_of "$cache" copy)
    copied+=("$took")
    took=$(seconds_of "$cache" import)
    imported+=("$took")
  done
  awk -v c="$cache" -v s="$gigabytes" -v a="$(median "${copied[@]}")" -v b="$(median "${imported[@]}")" \
    'BEGIN {printf "%s  cp %6.2f s %5.2f GB/s   import %6.2f s %5.2f GB/s   ratio %.2f\n", c, a, s / a, b, s / b, a / b}'
done
