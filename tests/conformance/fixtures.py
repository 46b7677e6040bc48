#!/usr/bin/env python3
"""Tiny models of known logits: fixtures.py NAME OUT.gguf, or build() from a test.

tests/data/archs/NAME.json lists a model's keys and tensors, each tensor with its shape and range, and 32 token ids. The weights
are not stored: they follow from the tensor's name and a seed by `uniform`. NAME.f32 holds what llama.cpp computes from them
for seed 1 and the listed tokens, in float32 throughout: (32, n_vocab) logits, little-endian. Models in tests/data/encoders give no
logits: of those it is the hidden rows, (32, width).
"""
import json
import pathlib
import sys

import gguf
import numpy as np

ARCHS = pathlib.Path(__file__).resolve().parent.parent / "data" / "archs"
ENCODERS = ARCHS.parent / "encoders"
FNV_OFFSET, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's increment


def fnv1a64(text):
    value = FNV_OFFSET
    for byte in text.encode():
        value = (value ^ byte) * FNV_PRIME % 2**64
    return value


def splitmix64(start, count):
    """The first `count` outputs of the generator whose state begins at `start`."""
    with np.errstate(over="ignore"):
        x = np.uint64(start) + GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
        x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return x ^ x >> np.uint64(31)


def uniform(name, shape, low, high, seed=1):
    """The tensor `name`: its elements in row-major order are the top 24 bits of splitmix64, scaled to [low, high)."""
    bits = splitmix64(fnv1a64(name) ^ seed, int(np.prod(shape)))
    fraction = (bits >> np.uint64(40)).astype(np.float64) / 2**24
    return (low + (high - low) * fraction).astype(np.float32).reshape(shape)


def names():
    """One or two of each architecture."""
    return [name for name in variants() if name.endswith(("-dense", "-moe"))]


def variants():
    """These, and others of the same architectures with what the first have not: more experts than are used, windows shorter than the
    text, scaled positions, multipliers."""
    return sorted(path.stem for path in ARCHS.glob("*.json"))


def encoders():
    return sorted(path.stem for path in ENCODERS.glob("*.json"))


def path_of(name):
    return next(path for path in (ARCHS / f"{name}.json", ENCODERS / f"{name}.json") if path.exists())


def description(name):
    return json.loads(path_of(name).read_text())


def logits(name):
    """llama.cpp's, (tokens, n_vocab), or of an encoder its rows, (tokens, width)."""
    return np.fromfile(path_of(name).with_suffix(".f32"), dtype="<f4").reshape(len(description(name)["tokens"]), -1)


def as_q8_0(data, tensor):
    """A matrix as Q8_0, with its type; other tensors as they are."""
    if not tensor.endswith(".weight") or data.ndim == 1 or data.shape[-1] % 32 or "norm" in tensor or "conv" in tensor or "lerp" in tensor:
        return data, None
    return gguf.quants.quantize(data, gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0


def write(spec, path, seed=1, q8_0=False, store=None):
    """The GGUF of a description; q8_0: with its matrices quantized; store: another function in as_q8_0's place."""
    writer = gguf.GGUFWriter(str(path), spec["architecture"])
    for key, kind, value in spec["keys"]:
        if kind.startswith("ARRAY"):
            writer.add_array(key, value)
        else:
            writer.add_key_value(key, value, gguf.GGUFValueType[kind])
    for tensor, shape, low, high in spec["tensors"]:
        data, kind = uniform(tensor, shape, low, high, seed), None
        if q8_0 or store:
            data, kind = (store or as_q8_0)(data, tensor)
        writer.add_tensor(tensor, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def build(name, path, seed=1, keys=(), tensors=()):
    """Writes the GGUF of a description, with more keys and tensors, and returns the description."""
    spec = description(name)
    spec["keys"] += keys
    spec["tensors"] += tensors
    write(spec, path, seed)
    return spec


def nmse(got, expected):
    """Mean squared error over the mean square of what was expected."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    return float(((got - expected) ** 2).mean() / (expected**2).mean())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[0])
    build(sys.argv[1], sys.argv[2])
