# SPDX-License-Identifier: Apache-2.0
"""A few float32 training steps of a hidden checkpoint with transformers and torch, as the judge of `job: train` (run inside the peers' folder system).

usage: train_reference.py HF_DIR OUT_DIR SEED key=value ...
  steps, docs (documents a step), length (longest document), lr, beta1, beta2, eps, wd, clip, schedule=constant|cosine, warmup, min_ratio, mask=1 (first third of each document unlabelled), dtype=float32
OUT_DIR gets data.jsonl ({"token_ids", "labels"}; labels as in Hugging Face: same length, -100 ignored, shifted inside), run.json (options, loss and grad_norm before
clipping of every step, learning rate of every step), final.safetensors (weights afterwards, released names). Step s (from 1): cosine = warm-up lr*s/warmup, then
min_ratio + (1-min_ratio)/2 (1+cos(pi (s-warmup)/(steps-warmup))) times lr. Weight decay on matrices only (ndim >= 2), decoupled. Documents are never packed or padded here.
"""
import json, math, os, sys
import torch
from transformers import MiniMaxM2ForCausalLM

src, out, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
o = dict(steps=5, docs=4, length=40, lr=1e-3, beta1=0.9, beta2=0.95, eps=1e-8, wd=0.0, clip=0.0, schedule="constant", warmup=0, min_ratio=0.1, mask=0)
for a in sys.argv[4:]:
    k, v = a.split("=", 1); o[k] = type(o[k])(float(v)) if not isinstance(o[k], str) else v
os.makedirs(out, exist_ok=True)
model = MiniMaxM2ForCausalLM.from_pretrained(src, dtype=torch.float32).train()
assert not model.config.output_router_logits
g = torch.Generator().manual_seed(seed)
V = model.config.vocab_size; docs = []
for _ in range(o["steps"] * o["docs"]):
    n = int(torch.randint(max(3, o["length"] // 4), o["length"] + 1, (1,), generator=g))
    ids = torch.randint(3, V, (n,), generator=g); h = n // 2; ids[h: 2 * h] = ids[:h].clone()      # half repeats: there is something to learn
    labels = ids.clone()
    if o["mask"]: labels[: n // 3] = -100
    docs.append((ids, labels))
with open(f"{out}/data.jsonl", "w") as f:
    for ids, labels in docs: f.write(json.dumps({"token_ids": ids.tolist(), "labels": labels.tolist()}) + "\n")
params = [p for p in model.parameters() if p.requires_grad]
groups = [{"params": [p for p in params if p.ndim >= 2], "weight_decay": o["wd"]}, {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0}]
opt = torch.optim.AdamW(groups, lr=o["lr"], betas=(o["beta1"], o["beta2"]), eps=o["eps"])
rows = []
for s in range(1, o["steps"] + 1):
    lr = o["lr"]
    if o["schedule"] == "cosine":
        lr *= s / o["warmup"] if s <= o["warmup"] else o["min_ratio"] + (1 - o["min_ratio"]) / 2 * (1 + math.cos(math.pi * (s - o["warmup"]) / (o["steps"] - o["warmup"])))
    for gr in opt.param_groups: gr["lr"] = lr
    batch = docs[(s - 1) * o["docs"]: s * o["docs"]]
    count = sum(int((l[1:] != -100).sum()) for _, l in batch); total = 0.0
    opt.zero_grad()
    for ids, labels in batch:
        logits = model(ids[None], use_cache=False).logits[0, :-1].double()
        loss = torch.nn.functional.cross_entropy(logits, labels[1:], ignore_index=-100, reduction="sum") / count
        loss.backward(); total += float(loss)
    norm = float(torch.sqrt(sum((p.grad.double() ** 2).sum() for p in params if p.grad is not None)))
    if o["clip"] > 0 and norm > o["clip"]:
        for p in params:
            if p.grad is not None: p.grad.mul_(o["clip"] / norm)
    opt.step(); rows.append({"step": s, "loss": total, "grad_norm": norm, "lr": lr, "label_tokens": count})
    print(rows[-1], flush=True)
json.dump({"options": o, "steps": rows}, open(f"{out}/run.json", "w"), indent=1)
model.save_pretrained(f"{out}/hf"); os.replace(f"{out}/hf/model.safetensors", f"{out}/final.safetensors")
