"""Adapters for tests: random ones as convert_lora_to_gguf.py of llama.cpp writes them, and the model with one merged into it."""
import fixtures
import gguf
import numpy as np


def pair(name, shape, rank, seed, size):
    """A (rank, in) and B (out, rank) for a matrix (out, in), or as many of each for a stack (n, out, in): B . A has elements of about
    the given size."""
    *n, rows, cols = shape
    bound = (size * 3 / rank**0.5) ** 0.5
    a = fixtures.uniform(f"{name}.a", (*n, rank, cols), -bound, bound, seed)
    return a, fixtures.uniform(f"{name}.b", (*n, rows, rank), -bound, bound, seed)


def write(path, architecture, pairs, alpha=None, name=None, dtype=np.float32, keys=()):
    """pairs: {tensor: (a, b)}; keys: (key, value) pairs that replace or add to the usual ones, None leaves one out."""
    values = {"general.type": "adapter", "adapter.type": "lora", "general.name": name, "adapter.lora.alpha": alpha, **dict(keys)}
    writer = gguf.GGUFWriter(str(path), values.pop("general.architecture", architecture))
    for key, value in values.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        elif value is not None:
            writer.add_float32(key, value)
    for tensor, (a, b) in pairs.items():
        for suffix, matrix in (("lora_a", a), ("lora_b", b)):
            if matrix is not None:
                writer.add_tensor(f"{tensor}.{suffix}", np.ascontiguousarray(matrix, dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def build_merged(name, path, pairs, scale):
    """The fixture with W + scale * B . A for every pair."""
    def merged(data, tensor):
        if tensor in pairs:
            a, b = (half.astype(np.float64) for half in pairs[tensor])
            data = (data + scale * b @ a).astype(np.float32)
        return data, None

    fixtures.write(fixtures.description(name), path, store=merged)
    return path
