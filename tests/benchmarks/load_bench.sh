#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How fast ranks load a checkpoint, from the start of opening it until all are ready, measured against dd reading the
# same file in the same run, with the file in the page cache (warm) and not (cold). dd reads into one buffer that stays in
# the processor's cache; a load ends in fresh memory. So there is a third figure: dd into /dev/shm, fresh memory as well,
# where there is room. The last column is the peak of any rank's resident memory above its weights.
# A virtual machine may give free memory back to its host, and getting it again then takes longer than reading a disk.
# So before each run, dd's too, twice the file's size of memory is written to and freed. NO_TOUCH=1 leaves that out.
#
# usage: load_bench.sh BUILD_DIR SCRATCH_DIR [RANKS [LAYERS EXPERTS DTYPE [REPEATS]]]
# MPIEXEC is the launcher of several ranks and its options, up to the one before their number ("mpirun -n").
# SCRATCH_DIR needs room for twice the checkpoint; the default one has 4.5 GB.
set -euo pipefail
shopt -s inherit_errexit

if [[ $# -lt 2 ]]; then
  sed -n '3,14s/^# \{0,1\}//p' "$0"
  exit 2
fi
bin=$1/bin
scratch=$2/m2_load_bench
ranks=${3:-1} layers=${4:-3} experts=${5:-96} dtype=${6:-float8_e4m3fn} repeats=${7:-5}
launch=()
if ((ranks > 1)); then read -ra launch <<<"${MPIEXEC:-mpirun -n} $ranks"; fi

mkdir "$scratch"
trap 'rm -rf "$scratch" /dev/shm/m2_load_bench' EXIT
"$bin/make_checkpoint" "$scratch/in" "$layers" "$experts" "$dtype"
file=$scratch/model.h5
"$bin/m2-convert" import "$scratch/in" "$file" >/dev/null
rm -r "$scratch/in"
sync
gigabytes=$(stat -c %s "$file" | awk '{printf "%.2f", $1 / 1e9}')
echo "checkpoint: $gigabytes GB, $dtype, $layers layers, $experts experts; $ranks ranks; median of $repeats"

warm() { cat "$file" >/dev/null; }
# Works without root, once the file is on the disk.
cold() { dd if="$file" iflag=nocache count=0 status=none; }
touch_memory() { [[ -n ${NO_TOUCH:-} ]] || "$bin/bench_load" touch $((2 * $(stat -c %s "$file"))); }

read_file() { seconds dd if="$file" of=/dev/null bs=1M status=none; }
to_memory() { seconds dd if="$file" of=/dev/shm/m2_load_bench bs=1M status=none; rm /dev/shm/m2_load_bench; }
load() {
  if ! "${launch[@]}" "$bin/bench_load" "$file" "$1" >"$scratch/out" 2>"$scratch/errors"; then
    cat "$scratch/errors" >&2
    exit 1
  fi
  awk '{print $3}' "$scratch/out" >"$scratch/above"
  awk '{print $1}' "$scratch/out"
}

seconds() {
  local start end
  start=$(date +%s.%N)
  "$@"
  end=$(date +%s.%N)
  awk -v start="$start" -v end="$end" 'BEGIN {print end - start}'
}

median() { printf '%s\n' "$@" | sort -g | sed -n "$((($# + 1) / 2))p"; }
report() { awk -v n="$1" -v s="$gigabytes" -v t="$2" 'BEGIN {printf "%-28s %6.2f s %6.2f GB/s", n, t, s / t}'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "   ratio %.2f", a / b}'; }

memory_is_there() { (($(df --output=avail -B1 /dev/shm | tail -1) > $(stat -c %s "$file"))); }

for cache in warm cold; do
  declare -A times=()
  for ((i = 0; i < repeats; ++i)); do # in turn, so that a disk that slows down slows all
    for what in read_file to_memory "load off" "load on"; do
      [[ $what == "load on" && $ranks == 1 ]] && continue
      [[ $what == to_memory ]] && ! memory_is_there && continue
      "$cache"
      touch_memory
      took=$($what)
      times[$what]+=" $took"
    done
  done
  for what in read_file to_memory "load off" "load on"; do
    [[ -v times[$what] ]] || continue
    read -ra list <<<"${times[$what]}"
    middle=$(median "${list[@]}")
    [[ $what == read_file ]] && base=$middle
    case $what in
      read_file) report "$cache  dd to nowhere" "$middle" ;;
      to_memory) report "$cache  dd to memory" "$middle" && ratio "$base" "$middle" && memory=$middle ;;
      load*)
        report "$cache  load, shared_reads ${what#load }" "$middle"
        ratio "$base" "$middle"
        [[ -v memory ]] && ratio "$memory" "$middle" && printf " of dd to memory"
        printf "   above the weights %s GB" "$(cat "$scratch/above")"
        ;;
    esac
    echo
  done
done
