#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One layer of MiniMax-M2's true shape (256 experts, hidden 3072, vocabulary 200064, bfloat16, random weights) on several
# ranks: generates, scores, compares the text with another number of ranks, and each rank's peak memory with the plan.
# Fails where a peak differs from the plan by more than 5 %.
# usage: tests/benchmarks/full_shape.sh BUILD_DIR SCRATCH_DIR [RANKS [OTHER_RANKS]]    4 ranks need about 19 GB of memory
set -euo pipefail
[ $# -ge 2 ] || { sed -n 3,7p "$0"; exit 2; }
m2=$(realpath "$1")/bin/m2
mkdir -p "$2"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scratch=$(realpath "$2") ranks=${3:-4} other=${4:-}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl=self,sm OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
for i in 0 1 2 3 4 5; do
  printf '{"id": %d, "token_ids": [%d, 200063, 7, %d, 100000, 31]}\n' $i $((1000 * i)) $((33333 * i))
done >"$scratch/prompts.jsonl"
keys=(model.config=inputs/bench/one_layer.json batch.max_tokens=256 batch.max_sequences=4)
cat >"$scratch/generate.yaml" <<TEXT
job: generate
model: {config: none}
prompts: {file: $scratch/prompts.jsonl}
sampling: {max_new_tokens: 8, temperature: 0, ignore_eos: true, logprobs: true}
TEXT
cat >"$scratch/score.yaml" <<TEXT
job: score
model: {config: none}
data: {file: $scratch/prompts.jsonl}
TEXT

# Each rank writes its peak resident memory, as the kernel has it at the end, in kB.
cat >"$scratch/watch.sh" <<'TEXT'
folder=$1 && shift
"$@" & process=$!
while [ -r /proc/$process/status ]; do
  peak=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' /proc/$process/status 2>/dev/null || true)
  [ -z "$peak" ] || echo "$peak" >"$folder/peak.${PMIX_RANK:-0}"
  sleep 0.2
done
wait $process
TEXT

run() { # run RANKS JOB OUTPUT
  rm -f "$scratch"/peak.*
  mpirun --oversubscribe -n "$1" bash "$scratch/watch.sh" "$scratch" "$m2" "$scratch/$2.yaml" "${keys[@]}" output.file="$3"
}
plan() { mpirun --oversubscribe -n "$ranks" "$m2" "$scratch/$1.yaml" "${keys[@]}" --check; }

failed=0
for job in generate score; do
  echo "== $job on $ranks ranks"
  plan $job | tee "$scratch/plan.txt"
  begin=$SECONDS
  run "$ranks" $job "$scratch/$job.$ranks.jsonl"
  echo "   took $((SECONDS - begin)) s"
  for ((rank = 0; rank < ranks; ++rank)); do
    # "   0     4.32 GB     ...": the total of the plan is the fifth number with its unit
    awk -v rank=$rank -v peak="$(cat "$scratch/peak.$rank")" '
      $1 == rank && NF >= 9 {
        unit["B"] = 1; unit["kB"] = 1e3; unit["MB"] = 1e6; unit["GB"] = 1e9
        planned = $8 * unit[$9]
        ratio = peak * 1024 / planned
        printf "   rank %d: planned %.2f GB, peak resident %.2f GB, ratio %.3f\n", rank, planned / 1e9, peak * 1024 / 1e9, ratio
        good = ratio >= 0.95 && ratio <= 1.05
      }
      END { exit !good }' "$scratch/plan.txt" || { echo "   rank $rank: the plan is not met within 5 %"; failed=1; }
  done
  if [ -n "$other" ]; then
    run "$other" $job "$scratch/$job.$other.jsonl"
    cmp "$scratch/$job.$ranks.jsonl" "$scratch/$job.$other.jsonl" && echo "   $other ranks: the same file, byte for byte"
  fi
done
exit $failed
