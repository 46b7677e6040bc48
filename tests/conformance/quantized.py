"""Random blocks of every quantized type whose scales a model could have, and a small model that is made of them."""
import gguf
import numpy as np

QUANTIZED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0",
             "IQ3_XXS", "IQ3_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_S", "IQ1_M"]
# Where the halves of a block lie that scale it. MXFP4 has an exponent, its first byte; IQ1_M a half in pieces, which begin there.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "TQ1_0": [52], "TQ2_0": [64],
          "IQ3_XXS": [0], "IQ3_S": [0], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ1_S": [0], "IQ1_M": [48]}
WIDTH, FEED_FORWARD, VOCAB, LAYERS = 256, 512, 96, 2
SHAPES = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH),
          "ffn_gate": (FEED_FORWARD, WIDTH), "ffn_up": (FEED_FORWARD, WIDTH), "ffn_down": (WIDTH, FEED_FORWARD)}
KEYS = {"vocab_size": VOCAB, "context_length": 128, "embedding_length": WIDTH, "block_count": LAYERS, "feed_forward_length": FEED_FORWARD,
        "attention.head_count": 4, "attention.head_count_kv": 4}


def set_halves(name, blocks, at, values):
    values = np.asarray(values, "<f2").reshape(-1, 1)
    if name == "IQ1_M":  # 4 bits each in the highest ones of four halves
        pieces = blocks[:, at : at + 8].copy().view("<u2") & 0x0FFF
        blocks[:, at : at + 8] = (pieces | (values.view("<u2") >> np.array([0, 4, 8, 12], "<u2") & 15) << 12).astype("<u2").view(np.uint8)
    else:
        blocks[:, at : at + 2] = values.view(np.uint8)


def weights(name, shape, rng, size=0.08):
    """A tensor's bytes, (rows, bytes of a row): random quants, scales so that the values' root mean square is about `size`."""
    kind = gguf.GGMLQuantizationType[name]
    elements, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    n = shape[0] * shape[1] // elements
    blocks = rng.integers(0, 256, (n, block_bytes), dtype=np.uint8)
    spread = rng.uniform(0.5, 1.5, n)
    for factor in (1.0, None):
        if name == "MXFP4":
            blocks[:, 0] = rng.integers(119, 123, n)
            break
        # A minimum that is added (Q4_1) lies below zero; one that is subtracted (Q4_K) above.
        factor = factor or size / rms
        low = {"Q4_1": -7.5, "Q5_1": -15.5, "Q2_K": 1.5, "Q4_K": 7.5, "Q5_K": 15.5}.get(name)
        for at, times in zip(SCALES[name], (1, low)):
            set_halves(name, blocks, at, factor * times * (spread if factor != 1.0 else np.ones(n)))
        rms = np.sqrt((gguf.quants.dequantize(blocks, kind).astype(np.float64) ** 2).mean())
    return blocks.reshape(shape[0], -1)


def write_model(path, name, odd=None):
    """A llama of matrices of one type. odd: a tensor's name and the type that it has instead, with zeros for bytes."""
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(str(path), "llama")
    for key, value in KEYS.items():
        writer.add_uint32(f"llama.{key}", value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_string("tokenizer.ggml.model", "no_vocab")
    matrices = {"token_embd.weight": (VOCAB, WIDTH), "output.weight": (VOCAB, WIDTH)}
    norms = ["output_norm.weight"]
    for layer in range(LAYERS):
        matrices |= {f"blk.{layer}.{tensor}.weight": shape for tensor, shape in SHAPES.items()}
        norms += [f"blk.{layer}.attn_norm.weight", f"blk.{layer}.ffn_norm.weight"]
    for tensor, shape in matrices.items():
        kind, data = gguf.GGMLQuantizationType[name], weights(name, shape, rng)
        if odd and odd[0] == tensor:
            kind = gguf.GGMLQuantizationType[odd[1]]
            elements, block_bytes = gguf.GGML_QUANT_SIZES[kind]
            data = np.zeros((shape[0], shape[1] // elements * block_bytes), np.uint8)
        writer.add_tensor(tensor, data, raw_dtype=kind)
    for tensor in norms:
        writer.add_tensor(tensor, rng.uniform(0.5, 1.5, WIDTH).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
