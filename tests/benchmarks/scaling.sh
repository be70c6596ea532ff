#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whether time grows as the operations count: prefill of the two-billion-parameter model with an eighth, a quarter, half and
# all of its tokens, layers and experts. Prints the FLOP that were counted, those without attention, seconds, and the rate
# without attention beside that of the full size.
#
# usage: scaling.sh BUILD_DIR SCRATCH_DIR [TOKENS [CONFIG.json]]     TOKENS: 4096 where tokens are varied
set -euo pipefail

if [[ $# -lt 2 ]]; then
  sed -n '3,7s/^# \{0,1\}//p' "$0"
  exit 2
fi
m2=$1/bin/m2
scratch=$2/m2_scaling
tokens=${3:-4096}
config=${4:-$(dirname "$0")/../../inputs/bench/two_billion.json}
mkdir -p "$scratch"
trap 'rm -rf "$scratch"' EXIT

cat >"$scratch/deck.yaml" <<DECK
job: bench
model: {config: $scratch/config.json}
bench: {prompt_tokens: 512, generated_tokens: 1, context: 1, repeats: 3}
output: {file: $scratch/result.json}
DECK

# measure WHAT SIZE TOKENS LAYERS EXPERTS
measure() {
  python3 - "$config" "$4" "$5" >"$scratch/config.json" <<'PY'
import json, sys
config, layers, experts = json.load(open(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
if layers:
    config["num_hidden_layers"], config["attn_type_list"] = layers, [1] * layers
if experts:
    config["num_local_experts"] = experts
json.dump(config, sys.stdout)
PY
  "$m2" "$scratch/deck.yaml" bench.prompt_tokens="$3" >/dev/null 2>&1
  python3 - "$scratch/result.json" "$1" "$2" <<'PY'
import json, sys
phase = json.load(open(sys.argv[1]))["phases"][0]
attention = [o for o in phase["operations"] if o["operation"] == "attention"]
flop, seconds = phase["flop"], phase["seconds"]["median"]
rest = flop - sum(o["flop"] for o in attention)
rest_seconds = seconds - sum(o["seconds"] for o in attention)
print(f"{sys.argv[2]:<8} {sys.argv[3]:>6} {flop / 1e9:>11.1f} {rest / 1e9:>13.1f} {seconds:>9.3f} {rest / rest_seconds / 1e9:>13.2f}")
PY
}

printf '%-8s %6s %11s %13s %9s %13s\n' what size GFLOP 'w/o attention' seconds 'GFLOP/s w/o'
layers=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["num_hidden_layers"])' "$config")
experts=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["num_local_experts"])' "$config")
for share in 8 4 2 1; do measure tokens $((tokens / share)) $((tokens / share)) 2 0; done
for share in 8 4 2 1; do measure layers $((layers / share)) 512 $((layers / share)) 0; done
for share in 8 4 2 1; do measure experts $((experts / share)) 512 2 $((experts / share)); done
