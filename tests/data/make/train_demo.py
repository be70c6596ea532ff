# SPDX-License-Identifier: Apache-2.0
"""Trains the small demo checkpoint with transformers, so that a first run prints legible text.

usage: train_demo.py TOKENIZER_DIR OUT_DIR STEPS PROMPT TEXT_FILE...
"""
import json, sys, time, shutil
import torch
from tokenizers import Tokenizer
from transformers import MiniMaxM2Config, MiniMaxM2ForCausalLM
tokd, out, steps, prompt, files = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:]
tok = Tokenizer.from_file(f"{tokd}/tokenizer.json")
ids = torch.tensor(sum((tok.encode(open(f, errors="ignore").read()).ids for f in files), []))
V = tok.get_vocab_size(); vocab = -(-V // 64) * 64
bos, eos = tok.token_to_id("]~!b["), tok.token_to_id("[e~[")
cfg = MiniMaxM2Config(vocab_size=vocab, hidden_size=128, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    head_dim=64, max_position_embeddings=2048, num_experts_per_tok=2, num_local_experts=8, bos_token_id=bos, eos_token_id=eos,
    rope_parameters={"rope_type": "default", "rope_theta": 5e6, "partial_rotary_factor": 0.5})
torch.manual_seed(7); m = MiniMaxM2ForCausalLM(cfg).float(); m.train()
opt = torch.optim.AdamW(m.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.01)
B, S, t0 = 8, 160, time.time()
for s in range(steps):
    for g in opt.param_groups: g["lr"] = 2e-3 * min(1, (s + 1) / 50) * max(0.05, 1 - s / steps)
    st = torch.randint(0, len(ids) - S - 1, (B,)); x = torch.stack([ids[i:i + S] for i in st])
    load = [torch.zeros(8) for _ in range(4)]
    hs = [l.mlp.gate.register_forward_hook(lambda mo, a, o, i=i: load.__setitem__(i, load[i] + torch.bincount(o[2].flatten(), minlength=8))) for i, l in enumerate(m.model.layers)]
    o = m(x, labels=x); [h.remove() for h in hs]
    opt.zero_grad(); o.loss.backward(); torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0); opt.step()
    for i, l in enumerate(m.model.layers): l.mlp.e_score_correction_bias += 1e-3 * torch.sign(load[i].mean() - load[i])
    if s % 50 == 0: print(s, round(float(o.loss), 3), round(time.time() - t0), flush=True)
m.eval(); m.save_pretrained(out)
from safetensors.torch import load_file, save_file
sd = load_file(f"{out}/model.safetensors")
save_file({k: (v if "e_score" in k else v.bfloat16()) for k, v in sd.items()}, f"{out}/model.safetensors", {"format": "pt"})
c = json.load(open(f"{out}/config.json")); c["dtype"] = "bfloat16"; json.dump(c, open(f"{out}/config.json", "w"), indent=2)
shutil.copy(f"{tokd}/tokenizer.json", out)
p = tok.encode(prompt).ids
print(tok.decode(m.generate(torch.tensor([p]), max_new_tokens=60, do_sample=False, pad_token_id=0)[0].tolist()))
