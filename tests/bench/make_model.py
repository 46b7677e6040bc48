#!/usr/bin/env python3
"""Makes a GGUF with random weights in the shape of a real model, for measuring speed and memory.

The vocabulary, chat template and merges are those of another GGUF, so that text goes through the file as through the real model.
Its answers mean nothing. Weights are drawn a few megabytes at a time and written at once: memory does not grow with the model.
"""
import argparse
import pathlib
import sys

import gguf
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
import quantized  # noqa: E402

SHAPES = {
    # layers, width, feed-forward width, query heads, key/value heads, head width
    "llama-1b": dict(arch="llama", layers=16, width=2048, ffn=8192, heads=32, kv_heads=8, head=64, rope_base=500000.0,
                     eps=1e-5, context=131072, vocab="llama-bpe"),
    "llama-0.4b": dict(arch="llama", layers=16, width=1024, ffn=4096, heads=16, kv_heads=8, head=64, rope_base=500000.0,
                       eps=1e-5, context=131072, vocab="llama-bpe"),
    "qwen3-0.6b": dict(arch="qwen3", layers=28, width=1024, ffn=3072, heads=16, kv_heads=8, head=128, rope_base=1000000.0,
                       eps=1e-6, context=40960, vocab="qwen2"),
}
# Blocks of the types with a grid are random bytes: for them llama-quantize wants an importance matrix, and much time.
GRIDS = ["iq3_xxs", "iq3_s", "iq2_xxs", "iq2_xs", "iq2_s", "iq1_s", "iq1_m"]
TYPES = {kind: gguf.LlamaFileType[f"MOSTLY_{kind.upper()}"] for kind in ["f16", "bf16", *GRIDS]} | {"f32": gguf.LlamaFileType.ALL_F32}
CHUNK = 1 << 22  # elements drawn at a time


def copy_vocabulary(writer, source):
    """Every tokenizer.* key as it is. Returns the number of tokens."""
    reader = gguf.GGUFReader(source)
    for key, field in reader.fields.items():
        if not key.startswith("tokenizer."):
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, field.contents())
        else:
            writer.add_key_value(key, field.contents(), field.types[0])
    return len(reader.fields["tokenizer.ggml.tokens"].data)


def tensors(shape, n_vocab):
    """(name, rows, columns), rows = 0 for a vector. No output.weight: these models reuse the embeddings."""
    width, ffn = shape["width"], shape["ffn"]
    queries, keys = shape["heads"] * shape["head"], shape["kv_heads"] * shape["head"]
    layer = [("attn_norm", 0, width), ("attn_q", queries, width), ("attn_k", keys, width), ("attn_v", keys, width),
             ("attn_output", width, queries), ("ffn_norm", 0, width), ("ffn_gate", ffn, width), ("ffn_up", ffn, width),
             ("ffn_down", width, ffn)]
    if shape["arch"] == "qwen3":
        layer += [("attn_q_norm", 0, shape["head"]), ("attn_k_norm", 0, shape["head"])]
    yield "token_embd.weight", n_vocab, width
    for i in range(shape["layers"]):
        for name, rows, columns in layer:
            yield f"blk.{i}.{name}.weight", rows, columns
    yield "output_norm.weight", 0, width


def encode(values, kind):
    if kind == "f32":
        return values
    if kind == "f16":
        return values.astype(np.float16)
    bits = values.view(np.uint32)  # to the nearest, ties to even; no NaN comes here
    return ((bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16).astype(np.uint16)


def write_matrix(file, random, n, columns, kind):
    """n values that keep a unit-length input at about unit length."""
    scale = np.float32(columns ** -0.5)
    for begin in range(0, n, CHUNK):
        some = min(CHUNK, n - begin)
        if kind in GRIDS:
            file.write(quantized.weights(kind.upper(), (1, some), random, scale).data)
        else:
            file.write(encode(random.standard_normal(some, dtype=np.float32) * scale, kind).data)


def make(shape_name, vocab, out, kind="f16", seed=0):
    shape = SHAPES[shape_name]
    ggml_type = gguf.GGMLQuantizationType[kind.upper()]
    elements, size = gguf.GGML_QUANT_SIZES[ggml_type]
    writer = gguf.GGUFWriter(out, shape["arch"])
    n_vocab = copy_vocabulary(writer, vocab)
    writer.add_name(f"{shape_name}-random")
    writer.add_file_type(TYPES[kind])
    writer.add_vocab_size(n_vocab)
    writer.add_context_length(shape["context"])
    writer.add_block_count(shape["layers"])
    writer.add_embedding_length(shape["width"])
    writer.add_feed_forward_length(shape["ffn"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_key_length(shape["head"])
    writer.add_value_length(shape["head"])
    writer.add_rope_dimension_count(shape["head"])
    writer.add_rope_freq_base(shape["rope_base"])
    writer.add_layer_norm_rms_eps(shape["eps"])
    listed = list(tensors(shape, n_vocab))
    for name, rows, columns in listed:
        if rows:
            writer.add_tensor_info(name, (rows, columns), np.dtype(np.uint16), rows * columns // elements * size, raw_dtype=ggml_type)
        else:
            writer.add_tensor_info(name, (columns,), np.dtype(np.float32), columns * 4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    file = writer.fout[0]
    random = np.random.default_rng(seed)
    alignment = writer.data_alignment
    file.write(bytes(-file.tell() % alignment))
    for name, rows, columns in listed:
        if rows:
            write_matrix(file, random, rows * columns, columns, kind)
        else:
            file.write(np.ones(columns, np.float32).data)
        file.write(bytes(-file.tell() % alignment))
        print(f"\r{file.tell() / 1e6:8.0f} MB {name:32}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("vocab", type=pathlib.Path, help="GGUF whose vocabulary is copied; for llama-1b ggml-vocab-llama-bpe.gguf")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--type", choices=TYPES, default="f16", help="of the matrices; norms are always f32 (default f16)")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    make(a.shape, a.vocab, a.out, a.type, a.seed)


if __name__ == "__main__":
    main()
