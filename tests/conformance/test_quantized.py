"""Models of every quantized type against numpy over the gguf package's dequantization, on every tier; and types that are not
served."""
import json

import fixtures
import gguf
import llmcall
import numpy as np
import pytest
import quantized
from isolated import run_python
from reference_llama import Reference
from test_logits import SCORE, TIERS

TOKENS = [3, 17, 49, 94, 5, 20, 61, 64, 93, 34, 1, 0, 44, 31, 88, 33, 54, 50, 93, 12, 88, 89, 69, 12]
SERVED = {"F32", "F16", "BF16", *quantized.QUANTIZED}
REFUSED = [kind.name for kind in gguf.GGMLQuantizationType if kind.name not in SERVED]


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantized")

    def path(name):
        if not (folder / f"{name}.gguf").exists():
            quantized.write_model(folder / f"{name}.gguf", name)
        return folder / f"{name}.gguf"

    return path


@pytest.mark.parametrize("name", quantized.QUANTIZED)
def test_logits_are_those_of_the_weights(name, model_of):
    """Activations are rounded to 8 bits, in blocks of 32 or 256 columns; nothing else is. Measured: up to 7e-4 and 2e-3."""
    kind = gguf.GGMLQuantizationType[name]
    bound = 1.5e-3 if gguf.GGML_QUANT_SIZES[kind][0] == 32 else 4e-3
    expected = Reference(model_of(name)).logits(TOKENS)
    with llmcall.Engine(model_of(name), threads=2, context_length=128, kv_bytes=4 << 20, kv_type="f32") as engine:
        got = engine.score(TOKENS)
    assert fixtures.nmse(got, expected) <= bound


def test_experts_in_mxfp4(tmp_path):
    """gpt-oss as its files are, against the floats that the experts' bytes stand for."""
    kind = gguf.GGMLQuantizationType.MXFP4

    def quantize(values, tensor):
        return (gguf.quants.quantize(values, kind), kind) if tensor.endswith("_exps.weight") else (values, None)

    def round_to_type(values, tensor):
        blocks, quantized = quantize(values, tensor)
        return gguf.quants.dequantize(blocks, kind).astype(np.float32) if quantized else values, None

    spec, logits = fixtures.description("gpt-oss-moe"), []
    for store in (round_to_type, quantize):
        fixtures.write(spec, tmp_path / "model.gguf", store=store)
        with llmcall.Engine(tmp_path / "model.gguf", threads=2, kv_bytes=4 << 20, kv_type="f32") as engine:
            logits.append(engine.score(spec["tokens"]))
    assert 0 < fixtures.nmse(logits[1], logits[0]) <= 1e-3  # measured: 2.5e-4


@pytest.mark.parametrize("name", ["IQ4_XS", "MXFP4", "IQ3_XXS", "IQ2_S", "IQ1_M"])
def test_tiers_make_the_same_bits(name, model_of, tmp_path):
    found = {}
    for tier in TIERS:
        if run_python(SCORE, model_of(name), json.dumps(TOKENS), tmp_path / tier, LLMCALL_CPU=tier).strip():
            found[tier] = np.load(f"{tmp_path / tier}.npy")
    assert "c" in found
    for tier, logits in found.items():
        assert np.array_equal(logits.view(np.uint32), found["c"].view(np.uint32)), f"{tier} differs from c"


@pytest.mark.parametrize("name", REFUSED)
def test_other_types_are_named(name, tmp_path):
    tensor = ["blk.1.ffn_up.weight", "token_embd.weight", "output.weight"][REFUSED.index(name) % 3]
    quantized.write_model(tmp_path / "odd.gguf", "Q4_0", odd=(tensor, name))
    with pytest.raises(llmcall.Error) as caught:
        llmcall.Engine(tmp_path / "odd.gguf", threads=1)
    assert caught.value.status == llmcall.Status.UNSUPPORTED
    assert tensor in str(caught.value) and name in str(caught.value)
