"""Logits against those that others compute: llama.cpp's for tiny float models, numpy's for the small real one."""
import json

import fixtures
import llmcall
import numpy as np
import pytest
from isolated import run_python
from reference_llama import Reference, mean_kl

NAMES = ["llama-dense", "qwen2-dense", "qwen3-dense"]
TIERS = ["c", "avx2", "avxvnni", "avx512", "avx512bf16", "amx"]

# 200 tokens and a little of plain English, written for this test.
TEXT = """The lighthouse at the end of the harbour had been dark for eleven years when the council decided to sell it. Nobody in the
town wanted to buy a tower with a leaking roof and two hundred and six narrow steps, and so the notice hung in the window of the
post office all summer, until the paper turned yellow. In September a woman arrived on the evening bus with one suitcase and asked
the driver where she could find the mayor. She paid the price that was written on the notice without a word about the roof. Within
a week she had repaired the lamp, and on the first night of October, a little after eight o'clock, the beam swept over the water
again. The fishermen, who had learned to find the entrance of the harbour by the smell of the cannery and the bells of the church,
stood on the pier and watched it for a long time. Then one of them laughed, and said that it was about time that someone in this
town kept a promise, even if it was a promise that had been made by people who were no longer alive to keep it themselves."""

SCORE = """
import json, sys, numpy, llmcall
path, tokens, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
try:
    engine = llmcall.Engine(path, threads=2, kv_bytes=16 << 20, context_length=256)
except llmcall.Error as error:
    if error.param != "LLMCALL_CPU":
        raise
    sys.exit()
with engine:
    numpy.save(out, engine.score(tokens))
    print(engine.device_info().tier)
"""


def score_on(tier, path, tokens, out):
    """Logits from a process that is forced to a tier; None if this machine does not have it."""
    ran_on = run_python(SCORE, path, json.dumps(tokens), out, LLMCALL_CPU=tier).strip()
    assert ran_on in ("", tier)
    return np.load(f"{out}.npy") if ran_on else None


@pytest.fixture(scope="module")
def tokens(engine):
    ids = engine.tokenize(TEXT, special=False)
    assert len(ids) >= 200
    return ids[:200]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", NAMES)
def test_float_models_are_llama_cpps(name, tier, fixture_path, tmp_path):
    got = score_on(tier, fixture_path(name), fixtures.description(name)["tokens"], tmp_path / "logits")
    if got is None:
        pytest.skip(f"this machine has no {tier}")
    assert fixtures.nmse(got, fixtures.logits(name)) <= 1e-8


def test_tiers_make_the_same_bits(model_path, tokens, tmp_path):
    found = {tier: score_on(tier, model_path, tokens[:32], tmp_path / tier) for tier in TIERS}
    found = {tier: logits for tier, logits in found.items() if logits is not None}
    assert "c" in found
    for tier, logits in found.items():
        assert np.array_equal(logits.view(np.uint32), found["c"].view(np.uint32)), f"{tier} differs from c"


def test_quantized_model_is_near_its_own_weights(engine, model_path, tokens):
    """llama.cpp itself stands at 3.8e-3 here: it quantizes activations, too."""
    reference = Reference(model_path).logits(tokens)
    got = engine.score(tokens)
    assert mean_kl(reference, got) <= 4e-3
    assert (reference.argmax(-1) == got.argmax(-1)).mean() >= 0.9


@pytest.mark.slow
def test_q8_0_cache_is_near_f16(engine, model_path, tokens):
    """Measured: 4.5e-3. An f32 cache stands at 3.4e-3, since any last bit moves some quantized activation."""
    with llmcall.Engine(model_path, threads=2, context_length=256, kv_bytes=16 << 20, kv_type="q8_0") as q8_0:
        got = q8_0.score(tokens)
    assert 0 < mean_kl(engine.score(tokens), got) <= 7e-3
    assert mean_kl(Reference(model_path).logits(tokens), got) <= 5e-3  # measured: 3.5e-3, f16 2.8e-3


@pytest.mark.parametrize("kv_type,bound", [("f32", 0), ("f16", 1e-6), ("q8_0", 1e-3)])
def test_caches_of_a_float_model(kv_type, bound, fixture_path):
    """Where nothing else is quantized, what the cache alone costs. Measured: 4.7e-7 and 3.9e-4."""
    tokens = fixtures.description("llama-dense")["tokens"]
    with llmcall.Engine(fixture_path("llama-dense"), threads=1) as own:
        expected = own.score(tokens)
    with llmcall.Engine(fixture_path("llama-dense"), threads=1, kv_type=kv_type) as engine:
        assert fixtures.nmse(engine.score(tokens), expected) <= bound


def test_heads_that_q8_0_does_not_fit(fixture_path):
    with pytest.raises(llmcall.Error) as caught:
        llmcall.Engine(fixture_path("qwen3-dense"), threads=1, kv_type="q8_0")
    assert caught.value.status == llmcall.Status.UNSUPPORTED and caught.value.param == "kv_type"


def test_score_reads_every_position(engine, tokens):
    """Row i depends on tokens up to i and on no other."""
    whole, cut = engine.score(tokens[:20]), engine.score(tokens[:11])
    assert np.array_equal(whole[:11], cut)
    changed = list(tokens[:20])
    changed[12] = (changed[12] + 1) % 1000
    other = engine.score(changed)
    assert np.array_equal(other[:12], whole[:12]) and not np.array_equal(other[12], whole[12])


def test_split_file_is_the_whole_one(fixture_path, tmp_path):
    """The gguf package writes a model in parts; the first one's path loads them all."""
    import gguf

    spec = fixtures.description("llama-dense")
    writer = gguf.GGUFWriter(str(tmp_path / "part.gguf"), spec["architecture"], split_max_tensors=8)
    for key, kind, value in spec["keys"]:
        if kind.startswith("ARRAY"):
            writer.add_array(key, value)
        else:
            writer.add_key_value(key, value, gguf.GGUFValueType[kind])
    for tensor, shape, low, high in spec["tensors"]:
        writer.add_tensor(tensor, fixtures.uniform(tensor, shape, low, high))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    parts = sorted(tmp_path.glob("part-*.gguf"))
    assert len(parts) == 3
    with llmcall.Engine(parts[0], threads=1) as split, llmcall.Engine(fixture_path("llama-dense"), threads=1) as whole:
        assert np.array_equal(split.score(spec["tokens"]), whole.score(spec["tokens"]))
