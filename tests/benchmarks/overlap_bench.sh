#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whether parallel.overlap gains anything: tokens/s of scoring (long passes) on 2 ranks with it off and on, over shared memory,
# TCP, and between two hosts (tests/support/two_hosts.sh, as root) with a fast and with slow networks. Random weights: two layers
# of inputs/bench/two_billion.json with 16 experts. Medians, with the least and the most.
# usage: tests/benchmarks/overlap_bench.sh BUILD_DIR SCRATCH_DIR [TOKENS [REPEATS]]    1 GB of memory; let nothing else run
set -euo pipefail
[ $# -ge 2 ] || { sed -n 3,6p "$0"; exit 2; }
m2=$(realpath "$1")/bin/m2
mkdir -p "$2"
scratch=$(realpath "$2") tokens=${3:-4096} repeats=${4:-5}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_PROC_BIND=false KOKKOS_DISABLE_WARNINGS=1

sed -e 's/"num_hidden_layers": 8/"num_hidden_layers": 2/' -e 's/\[1, 1, 1, 1, 1, 1, 1, 1\]/[1, 1]/' \
  -e 's/"num_local_experts": 64/"num_local_experts": 16/' -e 's/"vocab_size": 32768/"vocab_size": 4096/' \
  inputs/bench/two_billion.json >"$scratch/config.json"
length=256
for ((text = 0; text < tokens / length; ++text)); do
  awk -v text=$text -v length_=$length 'BEGIN {
    for (i = 0; i < length_; ++i) ids = ids (i ? ", " : "") (7919 * text + 104729 * i) % 4096
    printf "{\"token_ids\": [%s]}\n", ids
  }'
done >"$scratch/texts.jsonl"
cat >"$scratch/deck.yaml" <<TEXT
job: score
model: {config: $scratch/config.json, dtype: bfloat16}
data: {file: $scratch/texts.jsonl}
batch: {max_tokens: 512}
TEXT

launch() { # launch NETWORK COMMAND...: on 2 ranks
  local network=$1
  shift
  case $network in
    "shared memory") OMPI_MCA_btl=self,sm mpirun -n 2 "$@" ;;
    TCP) OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo mpirun -n 2 "$@" ;;
    "two hosts") tests/support/two_hosts.sh "$(command -v mpirun)" 1 "$@" ;;
    *) TWO_HOSTS_RATE=${network#two hosts, } tests/support/two_hosts.sh "$(command -v mpirun)" 1 "$@" ;;
  esac
}

rates() { # rates NETWORK SWITCH: tokens/s of one run
  local words
  words=$(launch "$1" "$m2" "$scratch/deck.yaml" parallel.overlap="$2" output.file="$scratch/$2.jsonl" 2>&1) ||
    { echo "$words" >&2; return 1; }
  sed -n 's/^m2: scored .* \([0-9.]*\) tokens\/s.*/\1/p' <<<"$words"
}

printf '%-22s %-24s %s\n' network "overlap off (tokens/s)" on
for network in "shared memory" TCP "two hosts" "two hosts, 1gbit" "two hosts, 100mbit"; do
  rm -f "$scratch"/rates.*
  for ((i = 0; i < repeats; ++i)); do # by turns, so that both see the same machine
    for switch in off on; do rates "$network" $switch >>"$scratch/rates.$switch" || continue 3; done
  done
  cmp "$scratch/off.jsonl" "$scratch/on.jsonl"
  for switch in off on; do
    sort -n "$scratch/rates.$switch" |
      awk '{ r[NR] = $1 } END { printf "%.1f (%.1f to %.1f)\n", r[int((NR + 1) / 2)], r[1], r[NR] }' >"$scratch/row.$switch"
  done
  printf '%-22s %-24s %s\n' "$network" "$(cat "$scratch/row.off")" "$(cat "$scratch/row.on")"
done
