"""LoRA adapters: what merging them into the model gives; the same bits alone, in batches, from the cache and on every tier; never
another's prefix; and what does not fit is refused by name."""
import pathlib
import re
import threading

import fixtures
import gguf
import llmcall
import lora
import numpy as np
import pytest
from isolated import run_python
from llmcall import Status
from reference_llama import log_softmax

OPTIONS = {"context_length": 256, "kv_bytes": 16 << 20}
LONG = [(i * 37 + i * i) % 128 for i in range(70)]
NAMES = fixtures.names()
README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
NOT_PRODUCTS = ("norm", "token_embd", "position_embd", "conv", "attn_k_b", "attn_v_b", "ssm_a", "ssm_d", "rope", "sinks", "lerp", "blk.0.time_mix_v1", "blk.0.time_mix_v2",
                "altup_proj", "altup_unembd_proj")


def pairs_for(name, seed=1, rank=4, size=0.02, only=""):
    """A pair for every matrix of the fixture that takes one."""
    tensors = fixtures.description(name)["tensors"]
    spare = "ssm_in" if name.startswith("qwen3next") else " "  # it is there, and nothing reads it
    return {tensor: lora.pair(tensor, shape, rank, seed, size) for tensor, shape, *_ in tensors
            if len(shape) >= 2 and tensor.endswith(".weight") and only in tensor and
            ("ssm_alpha" in tensor or not any(part in tensor for part in (*NOT_PRODUCTS, spare)))}


def write(path, fixture, pairs, **more):
    return lora.write(path, fixtures.description(fixture)["architecture"], pairs, **more)


def next_logprobs(engine, tokens, **given):
    """Of every token of a vocabulary of 128, in its order, each forced in turn."""
    values = []
    for token in range(128):
        reply = engine.completions.create(prompt=tokens, max_tokens=1, temperature=0, logprobs=0, logit_bias={token: 100},
                                          ignore_eos=True, **given)
        values.append(reply.choices[0].logprobs.token_logprobs[0])
    return np.array(values)


@pytest.mark.parametrize("name", NAMES)
def test_as_merged(name, fixture_path, tmp_path):
    """Every matrix of every architecture: x . W^T + scale * alpha / rank * (x . A^T) . B^T is x . (W + ...)^T."""
    pairs, rank, alpha, scale = pairs_for(name), 4, 6.0, 0.75
    assert len(pairs) >= 4
    adapter = write(tmp_path / "adapter.gguf", name, pairs, alpha=alpha, name="own name")
    merged = lora.build_merged(name, tmp_path / "merged.gguf", pairs, scale * alpha / rank)
    tokens = fixtures.description(name)["tokens"]
    with llmcall.Engine(fixture_path(name), threads=2, **OPTIONS) as engine, llmcall.Engine(merged, threads=2, **OPTIONS) as whole:
        engine.load_adapter(adapter)
        got = next_logprobs(engine, tokens, adapter="own name", adapter_scale=scale)
        expected = log_softmax(whole.score(tokens))[-1]
        plain = log_softmax(engine.score(tokens))[-1]
    assert fixtures.nmse(got, expected) <= 1e-10
    assert fixtures.nmse(plain, expected) >= 1e-6


@pytest.mark.parametrize("name,rank", [("llama-dense", 5), ("gpt2-dense", 5), ("gemma2-dense", 5), ("qwen35-dense", 5), ("llama-dense", 1000),
                                       ("qwen3moe-experts8", 5), ("gpt-oss-experts8", 3), ("llama-moe", 1000)])
def test_hidden_rows_as_merged(name, rank, fixture_path, tmp_path):
    """Every number behind the last layer, of every token; of a rank so large that few rows go at a time."""
    pairs = pairs_for(name, rank=rank)
    adapter = write(tmp_path / "adapter.gguf", name, pairs)
    merged = lora.build_merged(name, tmp_path / "merged.gguf", pairs, -1.5)
    raw = {"pooling": "none", "normalize": False}
    with llmcall.Engine(merged, threads=2, **OPTIONS) as engine:
        expected = engine.embed(LONG, **raw)
    rows = []
    for options in ({"threads": 2}, {"threads": 3, "max_step_tokens": 11}, {"threads": 1, "max_step_tokens": 1}):
        with llmcall.Engine(fixture_path(name), **options, **OPTIONS) as engine:
            engine.load_adapter(adapter, "it")
            rows.append(engine.embed(LONG, adapter="it", adapter_scale=-1.5, **raw))
            plain, last = engine.embed(LONG, **raw), engine.embed([LONG, LONG[:9]], pooling="last", normalize=False, adapter="it", adapter_scale=-1.5)
            assert np.array_equal(last, rows[0][[69, 8]])
    assert fixtures.nmse(rows[0], expected) <= 1e-10
    assert fixtures.nmse(plain, expected) >= 1e-6
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[0], rows[2])


@pytest.mark.parametrize("name", ["llama-dense", "gemma2-dense", "gpt2-dense", "granite-dense", "qwen3moe-experts8"])
def test_embeddings_as_merged(name, fixture_path, tmp_path):
    """Token embeddings, as mergekit-extract-lora has them: A is (tokens, rank). Where they are the output matrix as well, that one
    stays as it is."""
    spec = fixtures.description(name)
    tensor, (n_vocab, width), low, high = next(row for row in spec["tensors"] if row[0] == "token_embd.weight")
    b, a = lora.pair(tensor, (width, n_vocab), 5, 1, 0.1)[::-1]
    original = fixtures.uniform(tensor, (n_vocab, width), low, high)
    tied = not any(row[0] == "output.weight" for row in spec["tensors"])
    if tied:
        spec["tensors"].append(["output.weight", [n_vocab, width], 0, 0])

    def changed(data, at):
        data = original if tied and at == "output.weight" else data
        return (data - 1.5 * (b @ a).T if at == tensor else data).astype(np.float32), None

    fixtures.write(spec, tmp_path / "merged.gguf", store=changed)
    adapter = write(tmp_path / "adapter.gguf", name, {tensor: (a.T, b)})
    with llmcall.Engine(tmp_path / "merged.gguf", threads=2, **OPTIONS) as engine:
        expected = log_softmax(engine.score(LONG))[-1]
    with llmcall.Engine(fixture_path(name), threads=2, **OPTIONS) as engine:
        engine.load_adapter(adapter, "it")
        got = next_logprobs(engine, LONG, adapter="it", adapter_scale=-1.5)
        plain = next_logprobs(engine, LONG)
        assert engine.model_info().adapter_bytes >= 4 * 5 * (n_vocab + width)
    assert fixtures.nmse(got, expected) <= 1e-10
    assert fixtures.nmse(plain, expected) >= 1e-6


# ---- The same bits ----

ANSWER = {"max_tokens": 12, "temperature": 0.8, "seed": 5, "logprobs": 5, "ignore_eos": True}
CHOICES = [{}, {"adapter": "a"}, {"adapter": "b"}, {"adapter": "c"}, {"adapter": "a", "adapter_scale": -0.5}]


def answer(engine, tokens=LONG, **given):
    choice = engine.completions.create(prompt=tokens, **ANSWER, **given).choices[0]
    return choice.logprobs.tokens, choice.logprobs.token_logprobs, choice.logprobs.top_logprobs


def load_three(engine, name, folder):
    """Of other ranks, seeds and types; b is for attention alone."""
    for adapter, more in (("a", {}), ("b", {"rank": 17, "only": "attn"}), ("c", {"rank": 1, "size": 0.05})):
        pairs = pairs_for(name, ord(adapter), **more)
        engine.load_adapter(write(folder / f"{adapter}.gguf", name, pairs, dtype=np.float16 if adapter == "b" else np.float32), adapter)


def at_once(engine, requests):
    got = [None] * len(requests)

    def run(i):
        got[i] = answer(engine, **requests[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


@pytest.mark.parametrize("name", ["llama-dense", "qwen2-dense", "gpt2-dense", "phi3-dense", "qwen35-dense", "deepseek2-moe", "llama-moe",
                                  "qwen3moe-experts8"])
def test_batched_as_alone(name, fixture_path, tmp_path):
    with llmcall.Engine(fixture_path(name), threads=1, prefix_cache=False, **OPTIONS) as engine:
        load_three(engine, name, tmp_path)
        alone = [answer(engine, **choice) for choice in CHOICES]
    assert len({str(logprobs) for _, logprobs, _ in alone}) == len(CHOICES)
    for threads, step in ((2, 512), (3, 7)):
        with llmcall.Engine(fixture_path(name), threads=threads, max_step_tokens=step, **OPTIONS) as engine:
            load_three(engine, name, tmp_path)
            assert at_once(engine, CHOICES + CHOICES[::-1]) == alone + alone[::-1]
            assert at_once(engine, CHOICES) == alone  # from the cache


def test_drafts_and_choices(fixture_path, tmp_path):
    """A prompt that repeats itself: drafts are right, with the adapter's own bits."""
    tokens = LONG[:24] * 3
    with llmcall.Engine(fixture_path("llama-dense"), threads=2, **OPTIONS) as engine:
        load_three(engine, "llama-dense", tmp_path)
        for choice in CHOICES:
            assert answer(engine, tokens, speculate=7, **choice) == answer(engine, tokens, **choice)
        several = engine.completions.create(prompt=tokens, n=3, adapter="a", **ANSWER).choices
        assert several[0].logprobs.token_logprobs == answer(engine, tokens, adapter="a")[1]


TIER = """
import json, sys, llmcall
with llmcall.Engine(sys.argv[1], threads=2, context_length=256, kv_bytes=16 << 20, kv_type="f32") as engine:
    engine.load_adapter(sys.argv[2], "a")
    tokens = json.loads(sys.argv[3])
    reply = engine.completions.create(prompt=tokens, adapter="a", max_tokens=6, temperature=0, logprobs=20, ignore_eos=True)
    print(json.dumps([dict(top) for top in reply.choices[0].logprobs.top_logprobs]), reply.choices[0].logprobs.token_logprobs)
"""


@pytest.mark.parametrize("name,dtype", [("phi3-dense", np.float32), ("phi3-dense", np.float16), ("qwen3moe-experts8", np.float32)])
def test_every_tier(name, dtype, fixture_path, tmp_path):
    fixtures.write(fixtures.description(name), tmp_path / "q8.gguf", q8_0=True)
    adapter = write(tmp_path / "a.gguf", name, pairs_for(name, rank=21), dtype=dtype)
    arguments = (tmp_path / "q8.gguf", adapter, LONG)
    assert run_python(TIER, *arguments, LLMCALL_CPU="c") == run_python(TIER, *arguments)


def test_types_of_the_file(fixture_path, tmp_path):
    """F16 and BF16 are the numbers that they are; Q8_0 is what it stands for."""
    pairs = pairs_for("llama-dense", rank=32)
    f16 = {name: tuple(half.astype(np.float16) for half in pair) for name, pair in pairs.items()}
    q8 = gguf.GGMLQuantizationType.Q8_0
    blocks = {name: tuple(gguf.quants.quantize(half, q8) for half in pair) for name, pair in pairs.items()}
    rounded = {name: tuple(gguf.quants.dequantize(half, q8) for half in pair) for name, pair in blocks.items()}
    write(tmp_path / "f16.gguf", "llama-dense", f16, dtype=np.float16)
    write(tmp_path / "f16-wide.gguf", "llama-dense", f16)
    write(tmp_path / "q8-wide.gguf", "llama-dense", rounded)
    writer = gguf.GGUFWriter(str(tmp_path / "q8.gguf"), "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    for name, pair in blocks.items():
        for suffix, half in zip(("lora_a", "lora_b"), pair):
            writer.add_tensor(f"{name}.{suffix}", half, raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with llmcall.Engine(fixture_path("llama-dense"), threads=2, **OPTIONS) as engine:
        for name in ("f16", "f16-wide", "q8", "q8-wide"):
            engine.load_adapter(tmp_path / f"{name}.gguf", name)
        assert answer(engine, adapter="f16") == answer(engine, adapter="f16-wide") != answer(engine, adapter="q8")
        assert answer(engine, adapter="q8") == answer(engine, adapter="q8-wide")


# ---- The cache ----


def cached(engine, **given):
    reply = engine.completions.create(prompt=LONG, **ANSWER, **given)
    return reply.usage.prompt_tokens_details.cached_tokens, reply.choices[0].logprobs.token_logprobs


def test_prefixes_are_not_mixed(fixture_path, tmp_path):
    with llmcall.Engine(fixture_path("llama-dense"), threads=1, prefix_cache=False, **OPTIONS) as engine:
        load_three(engine, "llama-dense", tmp_path)
        fresh = [cached(engine, **choice)[1] for choice in CHOICES]
    with llmcall.Engine(fixture_path("llama-dense"), threads=1, **OPTIONS) as engine:
        load_three(engine, "llama-dense", tmp_path)
        assert [cached(engine, **choice) for choice in CHOICES] == [(0, logprobs) for logprobs in fresh]
        assert [cached(engine, **choice) for choice in CHOICES] == [(64, logprobs) for logprobs in fresh]
        assert cached(engine, adapter="a", adapter_scale=1.0) == (64, fresh[1])  # what nothing means
        engine.unload_adapter("a")
        engine.load_adapter(tmp_path / "c.gguf", "a")
        assert cached(engine, adapter="a") == (0, fresh[3])


# ---- The real model ----


@pytest.mark.slow
def test_real_model(model_path, tmp_path):
    """SmolLM2 with rank 8 on attention and feed-forward: another answer, the same one beside calls without, and while others load."""
    tensors = gguf.GGUFReader(str(model_path)).tensors
    pairs = {t.name: lora.pair(t.name, (int(t.shape[1]), int(t.shape[0])), 8, 3, 0.01) for t in tensors
             if t.name.startswith("blk.") and len(t.shape) == 2}
    lora.write(tmp_path / "smol.gguf", "llama", pairs, alpha=16.0, name="smol")
    lora.write(tmp_path / "half.gguf", "llama", dict(list(pairs.items())[:50]), alpha=16.0)
    question = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 12, "temperature": 0}
    with llmcall.Engine(model_path, threads=2, context_length=512, kv_bytes=32 << 20) as engine:
        plain = engine.chat.completions.create(**question).choices[0].message.content
        engine.load_adapter(tmp_path / "smol.gguf")
        info = engine.model_info()
        assert info.n_adapters == 1 and info.adapter_bytes >= sum(8 * 4 * sum(t.shape[:2]) for t in tensors if t.name in pairs)
        tuned = engine.chat.completions.create(**question, adapter="smol").choices[0].message.content
        assert "Paris" in plain and tuned != plain
        slight = engine.chat.completions.create(**question, adapter="smol", adapter_scale=1e-30).choices[0].message.content
        assert slight == plain
        got = {}
        threads = [threading.Thread(target=lambda key=key: got.update({key: engine.chat.completions.create(
            **question, **({"adapter": "smol"} if key % 2 else {})).choices[0].message.content})) for key in range(6)]
        for thread in threads:
            thread.start()
        engine.load_adapter(tmp_path / "half.gguf", "half")
        for thread in threads:
            thread.join()
        assert got == {key: tuned if key % 2 else plain for key in range(6)}


def test_readme(model_path, tmp_path):
    """The two Python blocks, one after the other."""
    pairs = {"blk.3.ffn_down.weight": lora.pair("x", (576, 1536), 8, 1, 0.01)}
    adapter = lora.write(tmp_path / "pirate.gguf", "llama", pairs, alpha=16.0)
    code = "".join(re.findall(r"```python\n(.*?)```", README.read_text(), re.S)[:2])
    assert code.count('"adapter.gguf"') == 1
    assert len(run_python(code.replace('"model.gguf"', f'"{model_path}"').replace('"adapter.gguf"', f'"{adapter}"'))) > 5


# ---- What does not fit ----


def one(tensor="blk.0.attn_q.weight", a=(4, 64), b=(64, 4)):
    return {tensor: (np.zeros(a, np.float32) if a else None, np.zeros(b, np.float32) if b else None)}


WRONG = {
    "no adapter": (one(), {"general.type": "model"}, Status.FORMAT, "general.type"),
    "nothing says what": (one(), {"general.type": None}, Status.FORMAT, "general.type"),
    "another kind": (one(), {"adapter.type": "vera"}, Status.UNSUPPORTED, "adapter.type"),
    "no kind": (one(), {"adapter.type": None}, Status.FORMAT, "adapter.type"),
    "another architecture": (one(), {"general.architecture": "qwen2"}, Status.UNSUPPORTED, "general.architecture"),
    "alpha": (one(), {"adapter.lora.alpha": float("nan")}, Status.FORMAT, "adapter.lora.alpha"),
    "begins late": (one(), {"adapter.alora.invocation_tokens": [1, 2]}, Status.UNSUPPORTED, "adapter.alora.invocation_tokens"),
    "unknown tensor": (one("blk.0.attn_z.weight"), {}, Status.FORMAT, "blk.0.attn_z.weight.lora_a"),
    "unknown layer": (one("blk.7.attn_q.weight"), {}, Status.FORMAT, "blk.7.attn_q.weight.lora_a"),
    "strange layer": (one("blk.00.attn_q.weight"), {}, Status.FORMAT, "blk.00.attn_q.weight.lora_a"),
    "huge layer": (one("blk.99999999999.attn_q.weight"), {}, Status.FORMAT, "blk.99999999999.attn_q.weight.lora_a"),
    "fused for parts": (one("blk.0.attn_qkv.weight", b=(192, 4)), {}, Status.FORMAT, "blk.0.attn_qkv.weight.lora_a"),
    "embeddings as a product": (one("token_embd.weight", (4, 64), (128, 4)), {}, Status.FORMAT, "token_embd.weight.lora_a"),
    "embeddings' rank": (one("token_embd.weight", (128, 1025), (64, 1025)), {}, Status.UNSUPPORTED, "token_embd.weight.lora_a"),
    "embeddings' outputs": (one("token_embd.weight", (128, 4), (32, 4)), {}, Status.FORMAT, "token_embd.weight.lora_b"),
    "norm": (one("blk.0.attn_norm.weight"), {}, Status.UNSUPPORTED, "blk.0.attn_norm.weight"),
    "inputs": (one(a=(4, 32)), {}, Status.FORMAT, "blk.0.attn_q.weight.lora_a"),
    "outputs": (one(b=(32, 4)), {}, Status.FORMAT, "blk.0.attn_q.weight.lora_b"),
    "ranks": (one(b=(64, 5)), {}, Status.FORMAT, "blk.0.attn_q.weight.lora_b"),
    "not transposed": (one(a=(64, 4)), {}, Status.FORMAT, "blk.0.attn_q.weight.lora_a"),
    "no b": (one(b=None), {}, Status.FORMAT, "blk.0.attn_q.weight.lora_b"),
    "no a": (one(a=None), {}, Status.FORMAT, "blk.0.attn_q.weight.lora_a"),
    "rank": (one(a=(1025, 64), b=(64, 1025)), {}, Status.UNSUPPORTED, "blk.0.attn_q.weight.lora_a"),
    "three dimensions": (one(a=(2, 4, 64)), {}, Status.FORMAT, "blk.0.attn_q.weight.lora_a"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case, fixture_path, tmp_path):
    pairs, keys, status, param = WRONG[case]
    with llmcall.Engine(fixture_path("llama-dense"), threads=1, **OPTIONS) as engine:
        with pytest.raises(llmcall.Error) as caught:
            engine.load_adapter(write(tmp_path / "wrong.gguf", "llama-dense", pairs, keys=keys.items()), "wrong")
        assert (caught.value.status, caught.value.param) == (status, param)
        assert param in str(caught.value)
        assert engine.model_info().n_adapters == 0
        engine.load_adapter(write(tmp_path / "right.gguf", "llama-dense", one(a=(1024, 64), b=(64, 1024))), "right")
        answer(engine, adapter="right")


@pytest.mark.parametrize("a,b,half", [((4, 96), (64, 4), "a"), ((3, 4, 96), (2, 64, 4), "a"), ((2, 4, 96), (1, 64, 4), "b"),
                                      ((2, 4, 96), (2, 64, 5), "b")])
def test_experts_of_another_shape(a, b, half, fixture_path, tmp_path):
    """Two experts, whose matrices the adapter has for another number, or of other ranks."""
    with llmcall.Engine(fixture_path("llama-moe"), threads=1, **OPTIONS) as engine:
        with pytest.raises(llmcall.Error) as caught:
            engine.load_adapter(write(tmp_path / "experts.gguf", "llama-moe", one("blk.0.ffn_down_exps.weight", a, b)), "experts")
    assert (caught.value.status, caught.value.param) == (Status.FORMAT, f"blk.0.ffn_down_exps.weight.lora_{half}")


def test_names(fixture_path, tmp_path):
    path = write(tmp_path / "a.gguf", "llama-dense", one())
    with llmcall.Engine(fixture_path("llama-dense"), threads=1, **OPTIONS) as engine:
        def refusal(function, *arguments, **given):
            with pytest.raises(llmcall.Error) as caught:
                function(*arguments, **given)
            return caught.value.status, caught.value.code, caught.value.param

        assert refusal(engine.load_adapter, path) == (Status.ARGUMENT, "invalid_argument", "name")
        assert refusal(engine.load_adapter, path, "x" * 64) == (Status.ARGUMENT, "invalid_argument", "name")
        assert refusal(engine.load_adapter, path, "a", model="other") == (Status.NOT_FOUND, "model_not_found", "model")
        assert refusal(engine.load_adapter, tmp_path / "none.gguf", "a")[0] == Status.NOT_FOUND
        assert refusal(engine.load_adapter, path, "a", max_memory=100) == (Status.NO_MEMORY, "no_memory", "max_memory")
        engine.load_adapter(path, "a")
        assert refusal(engine.load_adapter, path, "a") == (Status.ARGUMENT, "duplicate_adapter", "name")
        assert refusal(answer, engine, adapter="b") == (Status.NOT_FOUND, "adapter_not_found", "adapter")
        assert refusal(answer, engine, adapter_scale=2.0) == (Status.ARGUMENT, "invalid_argument", "adapter_scale")
        assert refusal(engine.embed, LONG, adapter="b") == (Status.NOT_FOUND, "adapter_not_found", "adapter")
        assert refusal(engine.embed, LONG, adapter_scale=2.0) == (Status.ARGUMENT, "invalid_argument", "adapter_scale")
        assert refusal(engine.embed, LONG, adapter="a", adapter_scale=1e3) == (Status.ARGUMENT, "invalid_argument", "adapter_scale")
        assert refusal(engine.embed, [LONG, LONG * 9], adapter="a")[0] == Status.CONTEXT_LENGTH
        assert refusal(answer, engine, LONG * 9, adapter="a")[0] == Status.CONTEXT_LENGTH
        assert refusal(engine.unload_adapter, "b") == (Status.NOT_FOUND, "adapter_not_found", "name")
        engine.unload_adapter("a")
        assert engine.model_info().adapter_bytes == 0
        assert refusal(answer, engine, adapter="a") == (Status.NOT_FOUND, "adapter_not_found", "adapter")


def test_the_bill_names_it(fixture_path, tmp_path):
    bills = []
    with llmcall.Engine(fixture_path("llama-dense"), threads=1, usage=bills.append, **OPTIONS) as engine:
        engine.load_adapter(write(tmp_path / "a.gguf", "llama-dense", one()), "a")
        for given in ({}, {"adapter": "a"}):
            answer(engine, **given)
            engine.embed([LONG, LONG[:9]], **given)
        engine.score(LONG)
        with pytest.raises(llmcall.Error):
            answer(engine, adapter="b")
    assert sorted((bill.adapter, bill.status, bill.prompt_tokens) for bill in bills) == [
        ("", 0, 70), ("", 0, 70), ("", 0, 79), ("", Status.NOT_FOUND, 0), ("a", 0, 70), ("a", 0, 79)]


def test_a_vocabulary_takes_none(model_path, fixture_path, tmp_path):
    path = write(tmp_path / "a.gguf", "llama-dense", one())
    with llmcall.Engine(model_path, vocab_only=True) as engine, pytest.raises(llmcall.Error) as caught:
        engine.load_adapter(path, "a")
    assert caught.value.status == Status.UNSUPPORTED
