"""Every architecture: llama.cpp's logits, and the same bits however a prompt is cut, batched, cached and threaded, on every tier."""

import fixtures
import llmcall
import numpy as np
import pytest
from company import at_once
from reference_llama import Reference
from test_logits import score_on

NAMES = fixtures.names()
VARIANTS = fixtures.variants()
ROUTED = ["afmoe-experts8", "deepseek2-groups", "deepseek2-old", "gpt-oss-experts8", "laguna-experts8", "llama-experts8", "llama4-experts8"]  # in which rows go to different experts

# llama.cpp computes GELU by a table of half precision: what comes out has 11 bits. These models differ by that, as
# test_what_the_table_rounds shows for two of them.
TABLE_GELU = {"bloom", "codeshell", "falcon", "gemma", "gemma2", "gemma3", "gemma3n", "gemma4", "gpt2", "gptneox", "mpt", "phi2", "starcoder",
              "starcoder2"}

OPTIONS = {"context_length": 256, "kv_bytes": 16 << 20}
LONG = [(i * 37 + i * i) % 128 for i in range(150)]  # more than two groups of positions, and than the fixtures' windows


def bits(logits):
    return np.ascontiguousarray(logits).view(np.uint32)


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_are_llama_cpps(name, fixture_path):
    spec = fixtures.description(name)
    with llmcall.Engine(fixture_path(name), threads=2, **OPTIONS) as engine:
        got = engine.score(spec["tokens"])
    assert fixtures.nmse(got, fixtures.logits(name)) <= (2e-7 if spec["architecture"] in TABLE_GELU else 1e-8)


@pytest.mark.parametrize("name", ["gemma-dense", "gpt2-dense"])
def test_what_the_table_rounds(name, fixture_path):
    tokens = fixtures.description(name)["tokens"]
    with llmcall.Engine(fixture_path(name), threads=1, **OPTIONS) as engine:
        got = engine.score(tokens)
    exact = Reference(fixture_path(name)).logits(tokens)
    rounded = Reference(fixture_path(name), gelu_rounded=True).logits(tokens)
    assert fixtures.nmse(got, exact) <= 1e-11
    assert fixtures.nmse(fixtures.logits(name), rounded) <= fixtures.nmse(fixtures.logits(name), exact) / 20


def scores(path, tokens, **options):
    with llmcall.Engine(path, **{**OPTIONS, **options}) as engine:
        return bits(engine.score(tokens))


@pytest.mark.parametrize("name", NAMES + ROUTED)
def test_same_bits(name, fixture_path):
    path = fixture_path(name)
    expected = scores(path, LONG, threads=1, prefix_cache=False)
    assert np.array_equal(scores(path, LONG, threads=2, max_step_tokens=7), expected)
    with llmcall.Engine(path, threads=2, **OPTIONS) as engine:
        for cut in (150, 97, 64, 33, 1):  # from a warm cache, all but the last pages
            assert np.array_equal(bits(engine.score(LONG[:cut])), expected[:cut])
        cuts = (150, 120, 90, 60)
        for n, got in zip(cuts, at_once(lambda n: bits(engine.score(LONG[:n])), cuts)):
            assert np.array_equal(got, expected[:n])


def windowed(name, path):
    """The fixture with a context of 2,048 and a window of some 40 positions."""
    spec = fixtures.description(name)
    own = f"{spec['architecture']}."
    spec["keys"] = [entry for entry in spec["keys"] if entry[0] != f"{own}context_length"] + [[f"{own}context_length", "UINT32", 2048]]
    if not any("sliding_window" in key for key, _, _ in spec["keys"]):
        spec["keys"].append([f"{own}attention.sliding_window", "UINT32", 40])
    fixtures.write(spec, path)


@pytest.mark.parametrize("name", ["afmoe-experts8", "cohere2-dense", "gemma2-dense", "gemma3-dense", "gemma3n-dense", "gemma4-dense", "gpt-oss-moe", "laguna-experts8", "llama4-experts8", "olmo2-dense"])
def test_windows_keep_what_they_need(name, tmp_path):
    """With a long context layers with a window have pages of their own, and the answer has the same bits."""
    path, tokens = tmp_path / "model.gguf", [(i * 37 + i * i) % 128 for i in range(700)]
    windowed(name, path)
    whole = {"threads": 1, "prefix_cache": False, "context_length": 768, "max_step_tokens": 1024}  # pages of one kind
    with llmcall.Engine(path, **whole) as engine:
        expected, per_token = bits(engine.score(tokens)), engine.model_info().memory.kv_bytes_per_token
        answer = engine.completions.create(prompt=tokens, max_tokens=30, temperature=0).choices[0].text
    for options in ({"max_step_tokens": 16}, {"max_step_tokens": 64, "kv_bytes": 1 << 20}):
        with llmcall.Engine(path, threads=2, **options) as engine:
            assert engine.model_info().memory.kv_bytes_per_token < 0.7 * per_token
            assert np.array_equal(bits(engine.score(tokens)), expected)
            for cut in (700, 640, 500, 33):  # what is cached, and what is computed again because its window is gone
                engine.completions.create(prompt=tokens[:cut], max_tokens=2, temperature=0)
            results = at_once(lambda _: engine.completions.create(prompt=tokens, max_tokens=30, temperature=0).choices[0].text, [0] * 4)
            assert results == [answer] * 4


@pytest.mark.slow
def test_first_files_of_glm_flash(tmp_path):
    """They are told by layers and vocabulary, and routed as if they said that the router is a sigmoid."""
    spec, size = fixtures.description("deepseek2-lite"), 154880
    blocks = [[tensor for tensor in spec["tensors"] if tensor[0].startswith(f"blk.{i}.")] for i in (0, 25)]
    ends = [[name, [size, *shape[1:]], *limits] if shape[0] == spec["n_vocab"] else [name, shape, *limits]
            for name, shape, *limits in spec["tensors"] if not name.startswith("blk.")]
    spec["tensors"] = ends + [[f"blk.{i}.{name.split('.', 2)[2]}", *rest] for i in range(47) for name, *rest in blocks[i == 46]]
    dropped = ("vocab_size", "block_count", "leading_dense_block_count", "expert_gating_func")
    spec["keys"] = [entry for entry in spec["keys"] if not entry[0].endswith(dropped)]
    spec["keys"] += [["deepseek2.block_count", "UINT32", 47], ["deepseek2.vocab_size", "UINT32", size]]
    results = []
    for gating in ([], [["deepseek2.expert_gating_func", "UINT32", 2]], [["deepseek2.expert_gating_func", "UINT32", 1]]):
        fixtures.write({**spec, "keys": spec["keys"] + gating}, tmp_path / "model.gguf")
        results.append(scores(tmp_path / "model.gguf", spec["tokens"][:4], threads=2))
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


def test_chunks_begin_anew(tmp_path):
    """Llama 4's windows: layers that have them see nothing before a multiple of their length."""
    spec = fixtures.description("llama4-experts8")
    spec["keys"] = [entry for entry in spec["keys"] if not entry[0].endswith("block_count")]
    spec["keys"] += [["llama4.block_count", "UINT32", 3], ["llama4.attention.sliding_window", "UINT32", 64]]
    spec["tensors"] = [tensor for tensor in spec["tensors"] if not tensor[0].startswith(("blk.3.", "blk.4."))]
    fixtures.write(spec, tmp_path / "model.gguf")
    for options in ({"max_step_tokens": 48}, {"context_length": 256}):
        with llmcall.Engine(tmp_path / "model.gguf", threads=2, kv_type="f32", **options) as engine:
            whole, second = engine.score(LONG), engine.score(LONG[64:128])
        assert fixtures.nmse(whole[64:128], second) <= 1e-9 and fixtures.nmse(whole[65:129], second) > 1e-2


def chooses(name):
    """Whether rows go to different experts."""
    keys = {key.split(".", 1)[1]: value for key, _, value in fixtures.description(name)["keys"]}
    return keys.get("expert_used_count", 0) < keys.get("expert_count", 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES + ROUTED)
def test_quantized_same_bits_on_every_tier(name, fixture_path, tmp_path):
    fixtures.write(fixtures.description(name), tmp_path / "q8.gguf", q8_0=True)
    tokens = LONG[:70]
    expected = scores(tmp_path / "q8.gguf", tokens, threads=2, kv_type="f32")
    exact = scores(fixture_path(name), tokens, threads=2)
    # Latent attention multiplies by two more matrices before its softmax: Q8_0 weights as floats already give 0.04 there. And a
    # router may choose another expert.
    bound = 0.1 if chooses(name) or name.startswith("deepseek2") else 1e-2
    assert fixtures.nmse(expected.view(np.float32), exact.view(np.float32)) <= bound
    for tier in ("c", "avx2"):
        got = score_on(tier, tmp_path / "q8.gguf", tokens, tmp_path / tier)
        reference = scores(tmp_path / "q8.gguf", tokens, threads=2)
        assert got is None or np.array_equal(bits(got), reference)


# A number that an architecture cannot have: fixture, key, kind, value, code, what the error names.
BAD_NUMBERS = [
    ("deepseek2-moe", "attention.kv_lora_rank", "UINT32", 0, "FORMAT", "attention.kv_lora_rank"),
    ("deepseek2-moe", "attention.key_length_mla", "UINT32", 64, "FORMAT", "attention.key_length_mla"),
    ("deepseek2-moe", "attention.value_length_mla", "UINT32", 1 << 31, "FORMAT", "attention.value_length_mla"),
    ("deepseek2-moe", "attention.key_length", "UINT32", 512, "FORMAT", "attention.key_length"),
    ("deepseek2-moe", "expert_used_count", "UINT32", 3, "FORMAT", "expert_used_count"),
    ("deepseek2-moe", "expert_count", "UINT32", 1 << 31, "FORMAT", "expert_count"),
    ("deepseek2-moe", "expert_group_count", "UINT32", 3, "FORMAT", "expert_group_count"),
    ("deepseek2-moe", "expert_gating_func", "UINT32", 4, "UNSUPPORTED", "expert_gating_func"),
    ("deepseek2-moe", "expert_shared_count", "UINT32", 1 << 20, "FORMAT", "expert_shared_count"),
    ("deepseek2-moe", "attention.q_lora_rank", "UINT32", 256, "FORMAT", "blk.0.attn_q_a.weight"),
    ("deepseek2-old", "attention.value_length", "UINT32", 1 << 31, "FORMAT", "attention.value_length"),
    ("deepseek2-old", "attention.value_length", "UINT32", 48, "FORMAT", "blk.0.attn_kv_b.weight"),
    ("deepseek2-old", "attention.key_length", "UINT32", 16, "FORMAT", "attention.key_length"),
    ("deepseek2-old", "attention.key_length_mla", "UINT32", 48, "FORMAT", "attention.value_length_mla"),
    ("bailingmoe2-experts8", "expert_shared_feed_forward_length", "UINT32", 1 << 31, "FORMAT", "expert_shared_feed_forward_length"),
    ("bailingmoe2-experts8", "expert_shared_count", "UINT32", 1024, "FORMAT", "blk.1.ffn_gate_shexp.weight"),
    ("exaone-moe-experts8", "nextn_predict_layers", "UINT32", 6, "FORMAT", "nextn_predict_layers"),
    ("afmoe-experts8", "attention.sliding_window_pattern", "ARRAY", [1], "FORMAT", "attention.sliding_window_pattern"),
    ("step35-experts8", "swiglu_clamp_exp", "ARRAY", [0.0, 0.0, -1.0, 0.0, 0.5, 0.0], "FORMAT", "swiglu_clamp_exp"),
    ("step35-experts8", "swiglu_clamp_shexp", "FLOAT32", 7.0, "FORMAT", "swiglu_clamp_shexp"),
    ("step35-experts8", "rope.dimension_count", "UINT32", 14, "FORMAT", "rope.dimension_count"),
    ("laguna-experts8", "rope.dimension_count_swa", "UINT32", 18, "FORMAT", "rope.dimension_count_swa"),
    ("laguna-experts8", "attention.head_count", "ARRAY", [4, 6, 6, 6, 6], "FORMAT", "blk.4.attn_q.weight"),
    ("laguna-plain", "attention.head_count", "ARRAY", [4], "FORMAT", "attention.head_count"),
    ("dbrx-experts8", "attention.clamp_kqv", "FLOAT32", -1.0, "FORMAT", "attention.clamp_kqv"),
    ("qwen2moe-first", "expert_used_count", "UINT32", 0, "FORMAT", "expert_used_count"),
    ("qwen2moe-first", "expert_used_count", "UINT32", 8, "FORMAT", "blk.0.ffn_gate_exps.weight"),
    ("qwen2moe-experts8", "expert_shared_feed_forward_length", "UINT32", 32, "FORMAT", "blk.0.ffn_gate_shexp.weight"),
    ("qwen3moe-moe", "expert_feed_forward_length", "UINT32", 64, "FORMAT", "blk.0.ffn_gate_exps.weight"),
    ("gpt-oss-moe", "attention.sliding_window", "UINT32", 1 << 31, "FORMAT", "attention.sliding_window"),
    ("cohere2-dense", "attention.sliding_window_pattern", "ARRAY", [1], "FORMAT", "attention.sliding_window_pattern"),
    ("gpt2-dense", "context_length", "UINT32", 512, "FORMAT", "position_embd.weight"),
    ("falcon-dense", "attention.head_count_kv", "UINT32", 1, "FORMAT", "blk.0.attn_qkv.weight"),
    ("gemma2-dense", "attn_logit_softcapping", "FLOAT32", float("nan"), "FORMAT", "attn_logit_softcapping"),
    ("phi3-dense", "feed_forward_length", "UINT32", 48, "FORMAT", "blk.0.ffn_up.weight"),
    ("llama-moe", "block_count", "UINT32", 1 << 31, "FORMAT", "block_count"),
    ("llama-moe", "attention.head_count", "UINT32", 0, "FORMAT", "attention.head_count"),
    ("granite-dense", "residual_scale", "FLOAT32", -1.0, "FORMAT", "residual_scale"),
    ("glm4-dense", "nextn_predict_layers", "UINT32", 2, "FORMAT", "nextn_predict_layers"),
    ("nemotron_h_moe-narrow", "moe_latent_size", "UINT32", 128, "FORMAT", "moe_latent_size"),
    ("nemotron_h-dense", "feed_forward_length", "ARRAY", [0, 96, 0], "FORMAT", "feed_forward_length"),
    ("mamba-dense", "ssm.state_size", "UINT32", 512, "FORMAT", "ssm.state_size"),
    ("jamba-moe", "ssm.time_step_rank", "UINT32", 8, "FORMAT", "blk.0.ssm_x.weight"),
    ("rwkv7-dense", "wkv.head_size", "UINT32", 48, "FORMAT", "wkv.head_size"),
    ("rwkv7-dense", "attention.gate_lora_rank", "UINT32", 256, "FORMAT", "attention.gate_lora_rank"),
    ("kimi-linear-moe", "kda.head_dim", "UINT32", 1 << 31, "FORMAT", "kda.head_dim"),
    ("deepseek2-moe", "attention.value_length_mla", "UINT32", 600, "FORMAT", "attention.value_length_mla"),
    ("mpt-plain", "attention.max_alibi_bias", "FLOAT32", -1.0, "FORMAT", "attention.max_alibi_bias"),
    ("olmo-clamp", "attention.clamp_kqv", "FLOAT32", float("nan"), "FORMAT", "attention.clamp_kqv"),
    ("granite-swa-windows", "attention.rope_pattern", "ARRAY", [1], "FORMAT", "attention.rope_pattern"),
    ("openelm-dense", "feed_forward_length", "ARRAY", [64, 0, 128], "FORMAT", "feed_forward_length"),
    ("openelm-dense", "attention.head_count", "ARRAY", [4, 4], "FORMAT", "attention.head_count"),
    ("openelm-dense", "attention.head_count_kv", "ARRAY", [2, 3, 2], "FORMAT", "attention.head_count_kv"),
    ("openelm-dense", "attention.head_count_kv", "ARRAY", [2, 1, 1], "FORMAT", "blk.2.attn_qkv.weight"),
    ("deci-dense", "attention.head_count", "ARRAY", [0, 0, 0, 0, 0], "FORMAT", "attention.head_count_kv"),
    ("gemma4-shared", "attention.shared_kv_layers", "UINT32", 5, "FORMAT", "attention.shared_kv_layers"),
    ("gemma4-shared", "attention.shared_kv_layers", "UINT32", 6, "FORMAT", "attention.shared_kv_layers"),
    ("gemma4-shared", "attention.shared_kv_layers", "UINT32", 3, "FORMAT", "attention.shared_kv_layers"),
    ("gemma4-shared", "embedding_length_per_layer_input", "UINT32", 1 << 20, "FORMAT", "embedding_length_per_layer_input"),
    ("gemma3n-dense", "altup.num_inputs", "UINT32", 3, "FORMAT", "altup.num_inputs"),
    ("gemma3n-dense", "altup.active_idx", "UINT32", 1, "FORMAT", "altup.active_idx"),
    ("gemma3n-dense", "embedding_length_per_layer_input", "UINT32", 0, "FORMAT", "embedding_length_per_layer_input"),
    ("gemma4-dense", "attention.key_length_swa", "UINT32", 2048, "FORMAT", "attention.key_length_swa"),
    ("gemma4-dense", "attention.value_length_swa", "UINT32", 8, "UNSUPPORTED", "attention.value_length_swa"),
    ("gemma4-dense", "rope.dimension_count_swa", "UINT32", 32, "FORMAT", "rope.dimension_count_swa"),
]


@pytest.mark.parametrize("name,key,kind,value,code,param", BAD_NUMBERS)
def test_a_number_that_cannot_be_is_named(name, key, kind, value, code, param, tmp_path):
    spec = fixtures.description(name)
    own = f"{spec['architecture']}.{key}"
    spec["keys"] = [entry for entry in spec["keys"] if entry[0] != own] + [[own, kind, value]]
    fixtures.write(spec, tmp_path / "model.gguf")
    with pytest.raises(llmcall.Error) as raised:
        llmcall.Engine(tmp_path / "model.gguf", **OPTIONS)
    assert raised.value.status == llmcall.Status[code]
    assert raised.value.param.endswith(param) and param.split(".")[-1] in str(raised.value)


@pytest.mark.parametrize("values,code", [([0.5], "FORMAT"), ([0.5, float("nan")], "FORMAT"), (None, "FORMAT")])
@pytest.mark.parametrize("key", ["xielu.alpha_n", "xielu.alpha_p", "xielu.beta", "xielu.eps"])
def test_numbers_of_an_activation(key, values, code, tmp_path):
    spec = fixtures.description("apertus-dense")
    spec["keys"] = [entry for entry in spec["keys"] if entry[0] != key] + ([[key, "ARRAY", values]] if values else [])
    fixtures.write(spec, tmp_path / "model.gguf")
    with pytest.raises(llmcall.Error) as raised:
        llmcall.Engine(tmp_path / "model.gguf", **OPTIONS)
    assert (raised.value.status, raised.value.param) == (llmcall.Status[code], key)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_is_missed(name, tmp_path):
    """Without one of its tensors a file is refused by a name, unless the model may do without."""
    spec = fixtures.description(name)
    for i in [i for i, (tensor, *_) in enumerate(spec["tensors"]) if not tensor.startswith("blk.0.")]:
        less = {**spec, "tensors": spec["tensors"][:i] + spec["tensors"][i + 1:]}
        fixtures.write(less, tmp_path / "model.gguf")
        try:
            llmcall.Engine(tmp_path / "model.gguf", **OPTIONS).close()
        except llmcall.Error as error:
            assert error.code and error.param, spec["tensors"][i][0]
