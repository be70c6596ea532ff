# SPDX-License-Identifier: Apache-2.0
"""Makes a small byte-level BPE tokenizer of MiniMax-M2's kind (same splitting pattern, same 54 added tokens) and encoded samples.

usage: make_tokenizer_fixture.py OUT_DIR VOCAB SEED TEXT_FILE...
OUT_DIR gets tokenizer.json and encode.jsonl: {"text": ..., "ids": [...], "decoded": ...} as Hugging Face tokenizers does it.
"""
import json, random, sys
from tokenizers import Tokenizer, models, trainers, pre_tokenizers, decoders, Regex, AddedToken

out, vocab, seed, files = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
PATTERN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
           r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
           r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
ADDED = """]!p~[ <fim_prefix> <fim_middle> <fim_suffix> <fim_pad> <reponame> <filename> <gh_stars> <issue_start> <issue_comment>
<issue_closed> <jupyter_start> <jupyter_text> <jupyter_code> <jupyter_output> <empty_output> <commit_before> <commit_msg> <commit_after>
]~b] [e~[ ]!d~[ <function_call> <code_interpreter> ]<]speech[>[ ]<]image[>[ ]<]video[>[ ]<]start_of_speech[>[ ]<]end_of_speech[>[
]<]start_of_image[>[ ]<]end_of_image[>[ ]<]start_of_video[>[ ]<]end_of_video[>[ ]<]vision_pad[>[ ]~!b[ <jupyter_error> <add_file>
<delete_file> <rename_file> <edit_file> <commit_message> <empty_source_file> <repo_struct> <code_context> <file_content> <source_files>
<pr_start> <review_comment> <filepath> <file_sep> <think> </think> <minimax:tool_call> </minimax:tool_call>""".split()
ADDED = [a.replace("_of_", " of ").replace("vision_pad", "vision pad") if a.startswith("]<]") else a for a in ADDED]
assert len(ADDED) == 54, len(ADDED)
plain = {"<think>", "</think>", "<minimax:tool_call>", "</minimax:tool_call>"}

tok = Tokenizer(models.BPE())
tok.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
tok.decoder = decoders.ByteLevel()
tok.train(files, trainers.BpeTrainer(vocab_size=vocab, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
assert tok.get_vocab_size() == vocab
tok.add_tokens([AddedToken(a, special=a not in plain, normalized=False) for a in ADDED])
tok.save(f"{out}/tokenizer.json")

rng = random.Random(seed)
text = "".join(open(f, errors="ignore").read() for f in files)
pools = ["abcdefghijklmnopqrstuvwxyz", "ABCDEFG", "0123456789", " \t", "\n\r", ".,;:!?'\"()[]{}<>/\\-_=+*&^%$#@~`|",
         "äöüßéèñçøåÆ", "中文汉字日本語한국어", "ЖдкΩλשלוםمرحبا", "👍🏽🚀é🇫🇷", "\u00a0\u2003\u200b\u3000\u0301\u0940", "\U0001d54f\u0130ǅʰª①½"]
samples = ["", " ", "  ", "\n", "\n\n  \n", "Hello world", "I'll don't WE'RE it's", "a" * 300, "x=1234567;", "   leading", "trailing   ", "]~!b[]~b]system\nhi[e~[\n",
           "<think>\nplan\n</think>\n\ncode();//end", "[e~[[e~[", "<minimax:tool_call>\n<invoke name=\"f\">", "naïve café", "\r\n\r\nCRLF\r\n", "tab\tsep", "a\u0301b", "½①Ⅳ", "//// path/to/file\n"]
for _ in range(250):
    i = rng.randrange(len(text) - 400); samples.append(text[i:i + rng.randrange(5, 200)])
for _ in range(250):
    samples.append("".join(rng.choice(rng.choice(pools)) for _ in range(rng.randrange(1, 60))))
for _ in range(40):
    samples.append("".join(rng.choice(["hello ", "\n", rng.choice(ADDED), "世界", "42", " "]) for _ in range(rng.randrange(2, 12))))
with open(f"{out}/encode.jsonl", "w") as f:
    for s in samples:
        ids = tok.encode(s, add_special_tokens=False).ids
        f.write(json.dumps({"text": s, "ids": ids, "decoded": tok.decode(ids, skip_special_tokens=False)}, ensure_ascii=False) + "\n")
print(out, tok.get_vocab_size(), len(samples))
