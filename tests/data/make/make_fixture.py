# SPDX-License-Identifier: Apache-2.0
"""Makes one tiny MiniMax-M2 checkpoint in the Hugging Face layout, with reference results computed by transformers.

usage: make_fixture.py OUT_DIR SEED key=value ...      (config keys of MiniMaxM2Config; fp8=1 block-quantises as the release does)

OUT_DIR gets config.json, generation_config.json, model*.safetensors (+ index) as `save_pretrained` writes them, and
reference.safetensors, all float32 unless said otherwise (grads=0 leaves the gradients out):
  input_ids [B,S] i64            two rows of random tokens
  logits [B,S,V]                 full attention, no padding
  hidden.{i} [B,S,H]             residual stream after embedding (i=0), after block i, last: after the final norm
  router_logits.{i} [B*S,E]      of block i
  topk_index.{i} [B*S,K] i64, topk_weight.{i} [B*S,K]     sorted by index
  padded_ids, attention_mask [B,S], padded_logits         row 0 right-padded, row 1 left-padded (position_ids count from the first real token)
  position_ids                   of the padded case
  loss []                        mean next-token cross-entropy of the unpadded case, labels = input_ids
  grad.{parameter}               d loss / d parameter, Hugging Face parameter names
  prompt_ids [1,P], greedy_ids [1,G]                      greedy continuation with a KV cache
"""
import json, sys
import torch
from safetensors.torch import save_file, load_file
from transformers import MiniMaxM2Config, MiniMaxM2ForCausalLM

out, seed = sys.argv[1], int(sys.argv[2])
opts = dict(a.split("=", 1) for a in sys.argv[3:])
fp8 = int(opts.pop("fp8", 0))
grads = int(opts.pop("grads", 1))
shards = int(opts.pop("shards", 1))
dialect = opts.pop("dialect", "v5")          # v5: as transformers writes config.json; short: as the released checkpoints have it
save_dtype = opts.pop("dtype", "float32")
cfg_kw = dict(vocab_size=384, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
              num_key_value_heads=2, head_dim=32, max_position_embeddings=512, num_experts_per_tok=3,
              num_local_experts=8, bos_token_id=1, eos_token_id=2)
rotary = int(opts.pop("rotary_dim", 16)); theta = float(opts.pop("rope_theta", 5e6))
B, S, P, G = (int(opts.pop(k, d)) for k, d in (("B", 2), ("S", 24), ("P", 7), ("G", 24)))
for k, v in opts.items():
    cfg_kw[k] = type(cfg_kw[k])(v) if k in cfg_kw else json.loads(v)
cfg = MiniMaxM2Config(**cfg_kw, rope_parameters={"rope_type": "default", "rope_theta": theta,
                                                "partial_rotary_factor": rotary / cfg_kw["head_dim"]})
torch.manual_seed(seed)
model = MiniMaxM2ForCausalLM(cfg).float().eval()
with torch.no_grad():
    for n, p in model.named_parameters():
        if "norm" in n: p.copy_(1 + 0.2 * torch.randn_like(p))
        else: p.copy_(torch.randn_like(p) * (1.0 / p.shape[-1]) ** 0.5)
    for n, b in model.named_buffers():
        if "e_score_correction_bias" in n: b.copy_(0.1 * torch.randn_like(b))
if save_dtype == "bfloat16":
    for t in [*model.parameters(), *(b for n, b in model.named_buffers() if "e_score" in n)]:
        t.data.copy_(t.data.bfloat16().float())
    # e_score_correction_bias stays float32 on disk (below), as in the released checkpoints
model.save_pretrained(out)
sd = load_file(f"{out}/model.safetensors")

def blocks(w, scale_only=False):
    r, c = w.shape; R, C = -(-r // 128), -(-c // 128)
    pad = torch.zeros(R * 128, C * 128); pad[:r, :c] = w
    return pad.view(R, 128, C, 128)

if fp8:
    quant = {}
    for k, w in sd.items():
        if k.endswith(".weight") and w.ndim == 2 and not any(s in k for s in ("gate.weight", "lm_head", "embed_tokens")):
            b = blocks(w); scale = b.abs().amax((1, 3)).clamp_min(1e-12) / 448.0
            q = (b / scale[:, None, :, None]).view(b.shape[0] * 128, -1)[: w.shape[0], : w.shape[1]].to(torch.float8_e4m3fn)
            deq = (blocks(q.float()) * scale[:, None, :, None]).reshape(b.shape[0] * 128, -1)[: w.shape[0], : w.shape[1]]
            quant[k], quant[k + "_scale_inv"], sd[k] = q.contiguous(), scale, deq.contiguous()
        else:
            quant[k] = w if "e_score" in k or "gate.weight" in k else w.bfloat16(); sd[k] = quant[k].float()
    save_file(quant, f"{out}/model.safetensors", {"format": "pt"})
    model = MiniMaxM2ForCausalLM(cfg).float().eval()
    own = model.state_dict()
    for i in range(cfg.num_hidden_layers):
        p = f"model.layers.{i}."; e = p + "block_sparse_moe."
        own[p + "mlp.experts.gate_up_proj"] = torch.stack([torch.cat([sd[f"{e}experts.{j}.w1.weight"], sd[f"{e}experts.{j}.w3.weight"]]) for j in range(cfg.num_local_experts)])
        own[p + "mlp.experts.down_proj"] = torch.stack([sd[f"{e}experts.{j}.w2.weight"] for j in range(cfg.num_local_experts)])
        own[p + "mlp.gate.weight"] = sd[e + "gate.weight"]
        own[p + "mlp.e_score_correction_bias"] = sd[e + "e_score_correction_bias"]
    for k in sd:
        if "block_sparse_moe" not in k: own[k] = sd[k]
    model.load_state_dict(own)
    c = json.load(open(f"{out}/config.json"))
    c["quantization_config"] = {"quant_method": "fp8", "fmt": "float8_e4m3fn", "activation_scheme": "dynamic",
                                "weight_block_size": [128, 128], "modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"]}
    json.dump(c, open(f"{out}/config.json", "w"), indent=2)
elif save_dtype == "bfloat16":
    save_file({k: (v if "e_score" in k else v.bfloat16()) for k, v in sd.items()}, f"{out}/model.safetensors", {"format": "pt"})

ref = {}
ids = torch.randint(3, cfg.vocab_size, (B, S), generator=torch.Generator().manual_seed(seed + 1))
layers = model.model.layers
hooks, routers = [], {}
for i, l in enumerate(layers):
    hooks.append(l.mlp.gate.register_forward_hook(lambda m, a, o, i=i: routers.__setitem__(i, o)))
o = model(ids, output_hidden_states=True, labels=ids)
for h in hooks: h.remove()
o.loss.backward()
ref["input_ids"], ref["logits"], ref["loss"] = ids, o.logits.detach(), o.loss.detach()
for i, h in enumerate(o.hidden_states): ref[f"hidden.{i}"] = h.detach()
for i, (rl, w, ix) in routers.items():
    ix, order = ix.sort(-1)
    ref[f"router_logits.{i}"], ref[f"topk_index.{i}"], ref[f"topk_weight.{i}"] = rl.detach(), ix, w.gather(1, order).detach()
if grads:
    for n, p in model.named_parameters(): ref["grad." + n] = p.grad.clone()
with torch.no_grad():
    n0, n1 = S - 5, 4
    mask = torch.ones(B, S, dtype=torch.long); mask[0, n0:] = 0
    if B > 1: mask[1, :n1] = 0
    pos = (mask.cumsum(-1) - 1).clamp_min(0)
    ref["padded_ids"], ref["attention_mask"], ref["position_ids"] = ids.clone(), mask, pos
    ref["padded_logits"] = model(ids, attention_mask=mask, position_ids=pos).logits
    prompt = ids[:1, :P].clone(); ref["prompt_ids"] = prompt
    g = model.generate(prompt, max_new_tokens=G, min_new_tokens=G, do_sample=False, pad_token_id=0)
    ref["greedy_ids"] = g
if dialect == "short":
    c = json.load(open(f"{out}/config.json"))
    short = {k: c[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
                               "num_local_experts", "num_experts_per_tok", "vocab_size", "rms_norm_eps", "hidden_act", "max_position_embeddings",
                               "tie_word_embeddings", "use_cache") if k in c}
    short |= {"architectures": ["MiniMaxM2ForCausalLM"], "model_type": "minimax_m2", "attn_type_list": [1] * cfg.num_hidden_layers,
              "rope_theta": int(theta), "rotary_dim": rotary, "scoring_func": "sigmoid", "use_routing_bias": True, "use_qk_norm": True,
              "qk_norm_type": "per_layer", "use_mtp": True, "num_mtp_modules": 3, "mtp_transformer_layers": 1, "shared_intermediate_size": 0,
              "transformers_version": "4.46.1"}
    if "quantization_config" in c: short["quantization_config"] = c["quantization_config"]
    json.dump(short, open(f"{out}/config.json", "w"), indent=2)
if shards > 1:  # as released: zero-based names, a wrong file count and a wrong total_size
    import os
    sd = load_file(f"{out}/model.safetensors"); os.remove(f"{out}/model.safetensors"); keys = sorted(sd); weight_map = {}
    for i in range(shards):
        part = keys[i * len(keys) // shards:(i + 1) * len(keys) // shards]; name = f"model-{i:05d}-of-{shards + 2:05d}.safetensors"
        save_file({k: sd[k] for k in part}, f"{out}/{name}", {"format": "pt"}); weight_map |= {k: name for k in part}
    json.dump({"metadata": {"total_size": 2 * sum(v.numel() * v.element_size() for v in sd.values())}, "weight_map": weight_map},
              open(f"{out}/model.safetensors.index.json", "w"), indent=1)
save_file({k: v.contiguous() for k, v in ref.items()}, f"{out}/reference.safetensors")
print(out, "loss", float(o.loss.detach()), "params", sum(p.numel() for p in model.parameters()))
