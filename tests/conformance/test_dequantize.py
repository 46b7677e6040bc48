"""Blocks to floats, bit for bit as the gguf package does it, for every supported type, on random blocks; and every point of the grids."""
import ctypes
import os
import pathlib
import subprocess

import gguf
import numpy as np
import pytest
import quantized

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPES = ["F32", "F16", "BF16", *quantized.QUANTIZED]
BLOCKS = 400


@pytest.fixture(scope="module")
def quant(tmp_path_factory):
    """src/model/quant.c as a shared object, and the grids."""
    out = tmp_path_factory.mktemp("quant") / "quant.so"
    command = [os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-ffp-contract=off", "-shared", "-fPIC", f"-I{ROOT / 'src'}", f"-I{ROOT}",
               f"-I{ROOT / 'include'}", str(ROOT / "src" / "model" / "quant.c"), str(ROOT / "kernels" / "cpu" / "grid_block.c"),
               str(ROOT / "kernels" / "cpu" / "grids.c"), "-o", str(out)]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(out))
    library.llmc_dequantize.argtypes = [ctypes.c_int32, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    library.llmc_dequantize.restype = None
    return library


def random_blocks(name, rng):
    kind = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    finite = rng.integers(0, 0x7C00, (BLOCKS, 2), dtype=np.uint16) | rng.integers(0, 2, (BLOCKS, 2), dtype=np.uint16) << 15
    # Random halves are NaN or infinite now and then, which has many bit patterns.
    for column, at in enumerate(quantized.SCALES.get(name, [])):
        quantized.set_halves(name, blocks, at, finite[:, column].view(np.float16))
    if name == "F16":
        blocks = (finite[:, :1]).astype("<u2").view(np.uint8)
    if name in ("F32", "BF16"):
        values = rng.standard_normal((BLOCKS, 1)).astype("<f4")
        blocks = values.view(np.uint8) if name == "F32" else values.view(np.uint8)[:, 2:].copy()
    return kind, elements, blocks


@pytest.mark.parametrize("name", TYPES)
def test_same_bits_as_gguf(name, quant):
    kind, elements, blocks = random_blocks(name, np.random.default_rng(TYPES.index(name)))
    data = {"F32": np.float32, "F16": np.float16}.get(name)
    with np.errstate(over="ignore"):  # MXFP4's largest exponents
        expected = gguf.quants.dequantize(blocks.view(data) if data else blocks, kind).astype(np.float32).reshape(-1)
    assert expected.size == BLOCKS * elements
    raw = np.zeros(blocks.size + 1, np.uint8)  # blocks need no alignment
    raw[1:] = blocks.reshape(-1)
    got = np.full(expected.size, np.nan, np.float32)
    quant.llmc_dequantize(int(kind), raw[1:].ctypes.data, expected.size, got.ctypes.data)
    assert np.array_equal(got.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("name", ["IQ3_XXS", "IQ3_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1"])
def test_grids_are_those_of_gguf(name, quant):
    """A point is a number of 4 bits (IQ3) or 2 a coordinate, each a place in the coordinates' table."""
    theirs = getattr(gguf.quants, name if name != "IQ1" else "IQ1_S")
    theirs.init_grid()
    points, width = theirs.grid_shape
    ours = np.array((ctypes.c_uint16 * points).in_dll(quant, f"llmc_grid_{name.lower()}"))
    places = ours[:, None] >> np.arange(width) * (16 // width) & (2 ** (16 // width) - 1)
    assert np.array_equal(np.array(theirs.grid_map)[places], theirs.grid.reshape(points, width))
