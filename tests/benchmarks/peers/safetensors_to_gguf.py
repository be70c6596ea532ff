# SPDX-License-Identifier: Apache-2.0
"""Writes a MiniMax-M2 safetensors checkpoint as a GGUF file, so that llama.cpp can be measured on the same weights.

usage: safetensors_to_gguf.py CHECKPOINT_DIR OUT.gguf   (needs numpy and gguf-py)
"""
import glob, json, struct, sys
import numpy as np
import gguf

src, out = sys.argv[1], sys.argv[2]
cfg = json.load(open(f"{src}/config.json"))
head_dim = cfg.get("head_dim") or cfg["hidden_size"] // cfg["num_attention_heads"]
rope = cfg.get("rope_parameters") or {}
rotary = cfg.get("rotary_dim") or int(head_dim * rope.get("partial_rotary_factor", 1.0))

index = {}
for f in sorted(glob.glob(f"{src}/*.safetensors")):
    with open(f, "rb") as fh:
        n = struct.unpack("<Q", fh.read(8))[0]
        for k, v in json.loads(fh.read(n)).items():
            if k != "__metadata__":
                index[k] = (f, 8 + n + v["data_offsets"][0], v["dtype"], v["shape"])

def raw(name):
    f, off, dt, shape = index[name]
    np_dt = {"BF16": np.uint16, "F32": np.float32, "F16": np.float16}[dt]
    return np.memmap(f, np_dt, "r", off, tuple(shape)), dt

def f32(name):
    a, dt = raw(name)
    return (a.astype(np.uint32) << 16).view(np.float32) if dt == "BF16" else a.astype(np.float32)

w = gguf.GGUFWriter(out, "minimax-m2", use_temp_file=False)
w.add_name("bench")
w.add_context_length(cfg["max_position_embeddings"])
w.add_embedding_length(cfg["hidden_size"])
w.add_block_count(cfg["num_hidden_layers"])
w.add_feed_forward_length(cfg["intermediate_size"])
w.add_expert_feed_forward_length(cfg["intermediate_size"])
w.add_head_count(cfg["num_attention_heads"])
w.add_head_count_kv(cfg["num_key_value_heads"])
w.add_key_length(head_dim)
w.add_value_length(head_dim)
w.add_rope_dimension_count(rotary)
w.add_rope_freq_base(float(cfg.get("rope_theta") or rope.get("rope_theta", 5e6)))
w.add_layer_norm_rms_eps(cfg["rms_norm_eps"])
w.add_expert_count(cfg["num_local_experts"])
w.add_expert_used_count(cfg["num_experts_per_tok"])
w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
w.add_vocab_size(cfg["vocab_size"])
w.add_tokenizer_model("gpt2")
w.add_tokenizer_pre("gpt-2")
w.add_token_list([f"t{i}" for i in range(cfg["vocab_size"])])
w.add_token_types([gguf.TokenType.NORMAL] * cfg["vocab_size"])
w.add_token_merges(["t 0"])
w.add_bos_token_id(cfg.get("bos_token_id") or 1)
w.add_eos_token_id(cfg.get("eos_token_id") or 2)

def put_bf16(name, arr):
    w.add_tensor(name, np.ascontiguousarray(arr).view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)

put_bf16("token_embd.weight", raw("model.embed_tokens.weight")[0])
put_bf16("output.weight", raw("lm_head.weight")[0])
w.add_tensor("output_norm.weight", f32("model.norm.weight"))
for i in range(cfg["num_hidden_layers"]):
    p, b = f"model.layers.{i}.", f"blk.{i}."
    for a, h in (("attn_q", "q_proj"), ("attn_k", "k_proj"), ("attn_v", "v_proj"), ("attn_output", "o_proj")):
        put_bf16(b + a + ".weight", raw(p + f"self_attn.{h}.weight")[0])
    for a, h in (("attn_q_norm", "self_attn.q_norm"), ("attn_k_norm", "self_attn.k_norm"),
                 ("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm")):
        w.add_tensor(b + a + ".weight", f32(p + h + ".weight"))
    w.add_tensor(b + "ffn_gate_inp.weight", f32(p + "block_sparse_moe.gate.weight"))
    w.add_tensor(b + "exp_probs_b.bias", f32(p + "block_sparse_moe.e_score_correction_bias"))
    for a, h in (("ffn_gate_exps", "w1"), ("ffn_up_exps", "w3"), ("ffn_down_exps", "w2")):
        put_bf16(b + a + ".weight", np.stack([raw(p + f"block_sparse_moe.experts.{e}.{h}.weight")[0]
                                              for e in range(cfg["num_local_experts"])]))
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
