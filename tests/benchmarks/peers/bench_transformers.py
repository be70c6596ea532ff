# SPDX-License-Identifier: Apache-2.0
"""Prefill and decode rate of transformers on the benchmark model.

usage: OMP_NUM_THREADS=2 bench_transformers.py CHECKPOINT_DIR [prompt_tokens] [generated_tokens]
"""
import sys, time
import torch
from transformers import MiniMaxM2ForCausalLM

src, prompt, generated = sys.argv[1], *(int(a) for a in (sys.argv[2:] + ["512", "24"][len(sys.argv) - 2:]))
for dtype in (torch.bfloat16, torch.float32):
    for experts in ("eager", "grouped_mm"):
        model = MiniMaxM2ForCausalLM.from_pretrained(src, dtype=dtype, experts_implementation=experts).eval()
        with torch.no_grad():
            ids, best = torch.randint(0, model.config.vocab_size, (1, prompt)), 0.0
            for _ in range(3):
                t = time.time(); out = model(ids, use_cache=True, logits_to_keep=1); best = max(best, prompt / (time.time() - t))
            cache, token, t = out.past_key_values, out.logits[:, -1:].argmax(-1), time.time()
            for _ in range(generated):
                out = model(token, past_key_values=cache, use_cache=True); token = out.logits[:, -1:].argmax(-1)
            print(f"{dtype} {experts}: prefill {best:.1f} tok/s, decode {generated / (time.time() - t):.1f} tok/s", flush=True)
        del model
