"""Models with recurrent layers: a state instead of rows of keys and values. What test_same_bits.py holds the others to, and where
prefixes are found again: at page boundaries at which a state was kept (src/kv/README.md)."""

import fixtures
import llmcall
import numpy as np
import pytest
import reference_states
from company import company, in_one_batch
from isolated import run_python

NAMES = ["mamba2-dense", "lfm2-dense", "granitehybrid-dense", "qwen35-dense", "qwen3next-moe", "mamba-dense", "jamba-moe", "nemotron_h-dense",
         "falcon-h1-dense", "kimi-linear-moe", "plamo2-dense", "rwkv7-dense"]
SMALL = {"context_length": 256}
PAGE = 16
TOKENS = [(i * i * 7 + 3 * i + 5) % 128 for i in range(90)]
SAMPLED = {"prompt": TOKENS[:70], "max_tokens": 24, "temperature": 0.9, "seed": 7, "logprobs": 1, "ignore_eos": True}


def bits(logits):
    return np.ascontiguousarray(logits).view(np.uint32)


def ask(engine, **changes):
    """The bits of every choice's log-probabilities, which no two answers share, and how much of the prompt was cached."""
    reply = engine.completions.create(**{**SAMPLED, **changes})
    return [choice.logprobs.token_logprobs for choice in reply.choices], reply.usage.prompt_tokens_details.cached_tokens


def answer(engine, **changes):
    return ask(engine, **changes)[0]


@pytest.fixture(scope="module", params=NAMES)
def path(request, fixture_path):
    return fixture_path(request.param)


@pytest.fixture(scope="module")
def expected(path):
    """One thread, alone, nothing cached, all of the prompt in one step."""
    with llmcall.Engine(path, threads=1, prefix_cache=False, **SMALL) as alone:
        return bits(alone.score(TOKENS)), answer(alone)


@pytest.mark.parametrize("chunk", [1, 5, 16, 64])
def test_chunks(chunk, path, expected):
    with llmcall.Engine(path, threads=2, max_step_tokens=chunk, **SMALL) as engine:
        n = 24 if chunk == 1 else len(TOKENS)
        assert np.array_equal(bits(engine.score(TOKENS[:n])), expected[0][:n])
        assert answer(engine) == expected[1]


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_threads(threads, path, expected):
    with llmcall.Engine(path, threads=threads, **SMALL) as engine:
        assert np.array_equal(bits(engine.score(TOKENS)), expected[0])
        assert answer(engine) == expected[1]


def test_portable_kernels_agree(path, expected, monkeypatch):
    """Weights are F32 here: the tiers make the same bits for those, too."""
    monkeypatch.setenv("LLMCALL_CPU", "c")
    with llmcall.Engine(path, threads=2, **SMALL) as engine:
        assert np.array_equal(bits(engine.score(TOKENS[:40])), expected[0][:40])


def test_cold_and_warm_cache(path, expected):
    with llmcall.Engine(path, threads=2, **SMALL) as engine:
        assert ask(engine) == (expected[1], 0)
        assert ask(engine) == (expected[1], 64)  # the last whole page before the last token
        metrics = engine.metrics()
        assert metrics.states_cached > 0 and metrics.states_used == 0
        assert metrics.states >= metrics.states_cached


def test_where_states_are_kept(path):
    with llmcall.Engine(path, threads=2, **SMALL) as engine, llmcall.Engine(path, prefix_cache=False, **SMALL) as cold:

        def both(prompt):
            reply, cached = ask(engine, prompt=prompt)
            assert reply == answer(cold, prompt=prompt)
            return cached

        first, system = TOKENS[:70], TOKENS[:40]
        assert both(first) == 0
        # Another prompt with the same beginning: its pages are there, their state is not. The next one finds it.
        assert both(system + [1] * 20) == 0
        assert both(system + [2] * 20) == 32
        assert both(system + [3] * 30) == 32
        # The prompt and more: from where the first one ended.
        assert both(first + [9] * 10) == 64
        # A conversation: what was answered is part of the next prompt, and its state is kept at its last whole page.
        said = list(first)
        for _ in range(40):
            said.append(int(cold.score(said)[-1].argmax()))
        engine.completions.create(prompt=first, max_tokens=40, temperature=0, ignore_eos=True)
        assert both(said[:-1] + [4] * 20) == 96
        # At a chunk's end while slots are free: half of a prompt serves, too.
    with llmcall.Engine(path, threads=2, max_step_tokens=32, **SMALL) as engine:
        ask(engine, prompt=TOKENS)
        assert ask(engine, prompt=TOKENS[:34])[1] == 32


def test_choices(path, expected):
    with llmcall.Engine(path, threads=2, **SMALL) as engine:
        three = answer(engine, n=3)
        assert three[:1] == expected[1] and three[1] != three[0]
        assert answer(engine, n=3) == three
    with llmcall.Engine(path, threads=2, prefix_cache=False, **SMALL) as engine:
        assert answer(engine, n=3) == three


def test_no_drafts(path, expected):
    with llmcall.Engine(path, threads=2, **SMALL) as engine:
        assert answer(engine, speculate=7) == expected[1]
        assert engine.metrics().draft_tokens == 0


def test_embeddings(path):
    """Their prompts pass through the same states: a vector a token, alone, in chunks and beside an answer's."""
    with llmcall.Engine(path, threads=1, prefix_cache=False, **SMALL) as alone:
        rows, last = bits(alone.embed(TOKENS, pooling="none")), bits(alone.embed(TOKENS, pooling="last"))
    with llmcall.Engine(path, threads=2, max_step_tokens=24, **SMALL) as engine:
        for _ in range(2):
            assert np.array_equal(bits(engine.embed(TOKENS, pooling="none")), rows)
            assert np.array_equal(bits(engine.embed(TOKENS, pooling="last")), last)
            answer(engine)


def prompt_of(number, round_):
    return TOKENS[: 10 + 13 * ((number + round_) % 6)] + [number] * (round_ % 20)


@pytest.mark.parametrize("few", [False, True])
def test_beside_other_calls(few, path, expected):
    """Five others at once, with slots for all, or for three sequences alone."""
    memory = llmcall.estimate(path)
    room = {"kv_bytes": 6 * 1024 * memory.state_kib} if few and memory.kv_bytes_per_token == 0 else {}
    with llmcall.Engine(path, threads=2, max_sequences=3 if few else 8, **room, **SMALL) as engine:
        with company(engine, 5, prompt_of, ignore_eos=True):
            for _ in range(3):
                assert answer(engine) == expected[1]
                assert np.array_equal(bits(engine.score(TOKENS[:40])), expected[0][:40])


def test_preemption(path):
    """A cache too small for all of them: some give up their pages and states and begin again, and nobody can tell."""
    memory = llmcall.estimate(path)
    if memory.kv_bytes_per_token == 0:
        pytest.skip("its pages take no memory, so that they never run out")
    calls = [{**SAMPLED, "logprobs": 0, "prompt": TOKENS[: 20 + 10 * i], "max_tokens": 180, "seed": i} for i in range(4)]
    with llmcall.Engine(path, threads=0, **SMALL) as roomy:
        alone = [in_one_batch(roomy, [call])[0] for call in calls]
    assert [len(values) for _, values in alone] == [180] * 4
    rows, state = 19 * PAGE * memory.kv_bytes_per_token, 1024 * memory.state_kib
    kv_bytes = max(rows + min(rows, 8 * state), 4 * state)  # states, two for each sequence, take half of it at most
    for cache in (False, True):
        with llmcall.Engine(path, threads=0, kv_bytes=kv_bytes, max_sequences=4, prefix_cache=cache, **SMALL) as tight:
            assert in_one_batch(tight, calls) == alone
            metrics = tight.metrics()
            if metrics.kv_pages < 13 * min(4, metrics.states):
                assert metrics.preemptions > 0


def test_memory(path):
    memory = llmcall.estimate(path, max_sequences=8)
    assert memory.state_kib > 0
    with llmcall.Engine(path, threads=1, max_sequences=8, **SMALL) as engine:
        metrics = engine.metrics()
        assert metrics.states == 16
        if memory.kv_bytes_per_token == 0:  # pages are free: all eight can run to the end of their context
            assert metrics.kv_pages >= 8 * SMALL["context_length"] // PAGE
    with pytest.raises(llmcall.Error) as error:
        llmcall.Engine(path, threads=1, kv_bytes=1000)
    assert error.value.param == "kv_bytes"


MUTATE = """
import random, re, sys
import llmcall
path, out = sys.argv[1:]
data = open(path, "rb").read()
header = max(m.end() for m in re.finditer(rb"weight|bias|ssm_a|ssm_d", data[:20000])) + 40
numbers, loaded = random.Random(path), 0
for _ in range(60):
    changed = bytearray(data)
    for _ in range(numbers.choice((1, 1, 2))):
        at = numbers.randrange(24, header)
        changed[at] = numbers.choice((0, 1, 2, 3, 4, 128, 255, changed[at] ^ 1 << numbers.randrange(8)))
    open(out, "wb").write(changed)
    try:
        with llmcall.Engine(out, threads=1, context_length=64, kv_bytes=4 << 20, max_memory=256 << 20) as engine:
            engine.score([1, 2, 3, 4, 5, 6, 7, 8])
            loaded += 1
    except llmcall.Error as error:
        assert error.status and str(error)
print(loaded)
"""


def test_changed_headers(path, tmp_path):
    """A byte or two of keys and shapes changed: a model that runs, or an error; in a process of its own."""
    assert 0 <= int(run_python(MUTATE, path, tmp_path / "changed.gguf")) < 60


# ---- Shapes that the fixtures do not have, against numpy -------------------------------------------------------------------


def one_layer(name, layer=0, **keys):
    """A fixture cut to its recurrent layer, with other keys."""
    spec = fixtures.description(name)
    arch = spec["architecture"]
    keys = {"block_count": 1, **keys}
    changed = []
    for key, kind, value in spec["keys"]:
        own = key.split(".", 1)[1]
        if kind.startswith("ARRAY") and own.startswith("attention."):
            value = value[layer : layer + 1]
        changed.append([key, kind, keys.get(own, value)])
    tensors = []
    for tensor, *rest in spec["tensors"]:
        if tensor.startswith("blk."):
            if not tensor.startswith(f"blk.{layer}."):
                continue
            tensor = "blk.0." + tensor.split(".", 2)[2]
        tensors.append([tensor, *rest])
    return {**spec, "architecture": arch, "keys": changed, "tensors": tensors}


def reshape(spec, drop=(), **shapes):
    """Tensors by what follows "blk.0.", with dots as __."""
    shapes = {"blk.0." + name.replace("__", "."): shape for name, shape in shapes.items()}
    spec["tensors"] = [[name, shapes.get(name, shape), *rest] for name, shape, *rest in spec["tensors"] if name[6:] not in drop]
    return spec


def mamba2_heads(heads, groups, state):
    keys = {"ssm.time_step_rank": heads, "ssm.group_count": groups, "ssm.state_size": state}
    conv = 128 + 2 * groups * state
    return reshape(one_layer("mamba2-dense", **keys), ssm_in__weight=[128 + conv + heads, 64], ssm_conv1d__weight=[conv, 4],
                   ssm_conv1d__bias=[conv], ssm_dt__bias=[heads], ssm_a=[heads, 1], ssm_d=[heads, 1],
                   ssm_norm__weight=[groups, 128 // groups])


def delta_heads(name, heads, groups, d, drop=()):
    keys = {"ssm.time_step_rank": heads, "ssm.group_count": groups, "ssm.state_size": d, "ssm.inner_size": heads * d}
    conv, inner = heads * d + 2 * groups * d, heads * d
    return reshape(one_layer(name, **keys), drop, attn_qkv__weight=[conv, 64], attn_gate__weight=[inner, 64],
                   ssm_in__weight=[conv + inner, 64], ssm_ba__weight=[2 * heads, 64], ssm_alpha__weight=[heads, 64],
                   ssm_beta__weight=[heads, 64], ssm_conv1d__weight=[conv, 4], ssm_dt__bias=[heads], ssm_a=[heads],
                   ssm_norm__weight=[d], ssm_out__weight=[64, inner])


def lfm2_experts():
    spec = reshape(one_layer("lfm2-dense", layer=1), ["ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"])
    spec["architecture"] = "lfm2moe"
    spec["keys"] = [[key.replace("lfm2.", "lfm2moe."), *rest] for key, *rest in spec["keys"]]
    numbers = {"expert_count": 5, "expert_used_count": 2, "expert_feed_forward_length": 48, "expert_gating_func": 2}
    spec["keys"] += [["lfm2moe." + key, "UINT32", value] for key, value in numbers.items()]
    shapes = {"ffn_gate_inp.weight": [5, 64], "ffn_gate_exps.weight": [5, 48, 64], "ffn_up_exps.weight": [5, 48, 64],
              "ffn_down_exps.weight": [5, 64, 48], "exp_probs_b.bias": [5]}
    spec["tensors"] += [["blk.0." + name, shape, -0.35, 0.35] for name, shape in shapes.items()]
    return spec


SHAPES = {
    "mamba2, one group": lambda: mamba2_heads(4, 1, 24),
    "mamba2, groups of heads": lambda: mamba2_heads(8, 2, 16),
    "lfm2": lambda: one_layer("lfm2-dense", layer=1),
    "lfm2moe": lfm2_experts,
    "qwen35, shared keys": lambda: delta_heads("qwen35-dense", 4, 2, 24),
    "qwen35, one key": lambda: delta_heads("qwen35-dense", 3, 1, 40),
    "qwen3next, shared keys": lambda: delta_heads("qwen3next-moe", 4, 2, 32),
    "qwen3next, joined": lambda: delta_heads("qwen3next-moe", 4, 2, 24, ["attn_qkv.weight", "attn_gate.weight"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_against_numpy(shape, tmp_path, monkeypatch):
    spec = SHAPES[shape]()
    monkeypatch.setattr(fixtures, "description", lambda name: spec)
    fixtures.build("changed", tmp_path / "model.gguf")
    with llmcall.Engine(tmp_path / "model.gguf", threads=2, **SMALL) as engine:
        assert fixtures.nmse(engine.score(TOKENS[:50]), reference_states.logits(spec, TOKENS[:50])) <= 1e-10


def test_qwen35moe_is_both_others(tmp_path, monkeypatch):
    """Its layers are Qwen3.5's, its feed-forward is Qwen3-Next's: with one key head for each head it is qwen3next with beta and
    alpha in matrices of their own, whose logits llama.cpp gave."""
    spec = fixtures.description("qwen3next-moe")
    spec["architecture"] = "qwen35moe"
    spec["keys"] = [[key.replace("qwen3next", "qwen35moe"), *rest] for key, *rest in spec["keys"]]
    spec["keys"].append(["qwen35moe.rope.dimension_sections", "ARRAY_INT32", [8, 8, 8, 8]])
    pairs = fixtures.uniform("blk.0.ssm_ba.weight", [4, 64], -0.35, 0.35)
    own = fixtures.uniform
    apart = {"blk.0.ssm_beta.weight": pairs[[0, 2]], "blk.0.ssm_alpha.weight": pairs[[1, 3]]}
    spec["tensors"] = [row for row in spec["tensors"] if row[0] not in ("blk.0.ssm_ba.weight", "blk.0.ssm_in.weight")]
    spec["tensors"] += [[name, [2, 64], 0, 0] for name in apart]
    expected = fixtures.logits("qwen3next-moe")
    monkeypatch.setattr(fixtures, "description", lambda name: spec)
    monkeypatch.setattr(fixtures, "uniform", lambda name, *rest: apart[name] if name in apart else own(name, *rest))
    fixtures.build("changed", tmp_path / "model.gguf")
    with llmcall.Engine(tmp_path / "model.gguf", threads=2, **SMALL) as engine:
        assert fixtures.nmse(engine.score(spec["tokens"]), expected) <= 1e-8


def test_layers_that_predict_more_are_left_out(tmp_path, monkeypatch):
    """Files of Qwen3.5 end in a layer that guesses at further tokens: it is counted in every array, and not read."""
    spec = fixtures.description("qwen35-dense")
    longer = {"qwen35.block_count": 3, "qwen35.attention.recurrent_layers": [1, 0, 0]}
    spec["keys"] = [[key, kind, longer.get(key, value)] for key, kind, value in spec["keys"]]
    spec["keys"].append(["qwen35.nextn_predict_layers", "UINT32", 1])
    spec["tensors"] += [[name.replace("blk.1.", "blk.2."), *rest] for name, *rest in spec["tensors"] if name.startswith("blk.1.")]
    spec["tensors"].append(["blk.2.nextn.eh_proj.weight", [64, 128], -0.35, 0.35])
    expected = fixtures.logits("qwen35-dense")
    monkeypatch.setattr(fixtures, "description", lambda name: spec)
    fixtures.build("changed", tmp_path / "model.gguf")
    with llmcall.Engine(tmp_path / "model.gguf", threads=2, **SMALL) as engine:
        assert fixtures.nmse(engine.score(spec["tokens"]), expected) <= 1e-8


def test_layers_by_interval(tmp_path, monkeypatch):
    """Without the array every full_attention_interval-th layer attends: 2 of these 2."""
    spec = fixtures.description("qwen35-dense")
    spec["keys"] = [row for row in spec["keys"] if row[0] != "qwen35.attention.recurrent_layers"]
    spec["keys"].append(["qwen35.full_attention_interval", "UINT32", 2])
    expected = fixtures.logits("qwen35-dense")
    monkeypatch.setattr(fixtures, "description", lambda name: spec)
    fixtures.build("changed", tmp_path / "model.gguf")
    with llmcall.Engine(tmp_path / "model.gguf", threads=2, **SMALL) as engine:
        assert fixtures.nmse(engine.score(spec["tokens"]), expected) <= 1e-8
