"""Bad input: each gives its own status with the offending name and value, at once, and the engine goes on."""
import math
import time

import fixtures
import gguf
import llmcall
import numpy as np
import pytest
from llmcall import Error, Status

ALLOWED_S = 1.0  # of the processor, so that other tests beside do not count; promised are milliseconds
MESSAGES = [{"role": "user", "content": "Hi"}]


def refused(function, status, param=None, *says):
    """The error of function(), which must come at once and say all of `says`."""
    start = time.process_time()
    with pytest.raises(Error) as caught:
        function()
    took = time.process_time() - start
    error = caught.value
    assert error.status in (status if isinstance(status, tuple) else (status,)), error
    assert param is None or error.param == param, error.param
    for part in says:
        assert str(part) in error.message, error.message
    assert error.code and error.message and took < ALLOWED_S
    return error


# ---- Fields of a request ----

VALUES = [0, 1, -1, 0.5, 2**31, -(2**31) - 1, 2**63, 10**400, math.nan, math.inf, -math.inf, "1"]
NUMBERS = ["max_tokens", "max_completion_tokens", "n", "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty",
           "repetition_penalty", "seed", "priority", "timeout", "top_logprobs", "ignore_eos", "logprobs", "stream"]
NEVER = {  # values that no field of numbers may take, whatever it is
    name: [-1, -(2**31) - 1, 2**63, 10**400, math.nan, math.inf, -math.inf, "1"] for name in NUMBERS}
NEVER["seed"].remove(2**63)
for signed in ("presence_penalty", "frequency_penalty", "priority"):
    NEVER[signed].remove(-1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, vocabularies):
    """A model small enough that any request that is not refused is answered at once: the fixture's shape with 128 tokens."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_fixture(path, keys={"tokenizer.ggml.model": ("STRING", "gpt2"), "tokenizer.ggml.pre": ("STRING", "gpt-2"),
                              "tokenizer.ggml.tokens": ("ARRAY", [*map(chr, range(33, 127)), "ab", *(f"t{i}" for i in range(95, 128))]),
                              "tokenizer.ggml.merges": ("ARRAY", ["a b"])})
    with llmcall.Engine(path, threads=1, chat_template="{{ messages[0].content }}") as engine:
        yield engine


def write_fixture(path, keys=None, tensors=None, drop=(), architecture=None):
    """llama-dense with other keys ({name: (kind, value)}, None to leave out) and tensors ({name: array}), or without some."""
    spec = fixtures.description("llama-dense")
    writer = gguf.GGUFWriter(str(path), architecture or spec["architecture"])
    all_keys = {key: (kind, value) for key, kind, value in spec["keys"]} | (keys or {})
    for key, given in all_keys.items():
        if given and given[0] == "ARRAY":
            writer.add_array(key, given[1])
        elif given:
            writer.add_key_value(key, given[1], gguf.GGUFValueType[given[0]])
    for name, shape, low, high in spec["tensors"]:
        if name not in drop:
            writer.add_tensor(name, (tensors or {}).get(name, fixtures.uniform(name, shape, low, high)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number(name, tiny):
    """Twelve values each: refused at once by name, or served."""
    for value in VALUES:
        try_number(tiny, name, value)


def try_number(tiny, name, value):
    given = {"messages": MESSAGES, "max_tokens": 2, name: value}
    if name == "top_logprobs":
        given["logprobs"] = True
    if name == "max_completion_tokens":
        del given["max_tokens"]
    bad = any(value is item or (value == item and type(value) is type(item)) for item in NEVER[name])
    start = time.process_time()
    try:
        reply = tiny.chat.completions.create(**given)
    except Error as error:
        assert error.status in (Status.ARGUMENT, Status.DEADLINE), error
        if error.status == Status.ARGUMENT:
            # The library knows one name for the two.
            names = ("max_tokens", "max_completion_tokens") if name == "max_completion_tokens" else (name,)
            assert error.param in names and error.param in error.message, (value, error)
        else:
            assert name == "timeout"
    else:
        assert not bad, f"{name}={value} was accepted"
        if name == "stream" and value:
            list(reply)
    assert time.process_time() - start < ALLOWED_S


@pytest.mark.parametrize("name,value,param", [
    ("n", 17, "n"), ("temperature", -0.1, "temperature"), ("temperature", math.nan, "temperature"), ("top_p", 1.5, "top_p"),
    ("top_p", -0.5, "top_p"), ("min_p", 2, "min_p"), ("presence_penalty", 2.5, "presence_penalty"),
    ("frequency_penalty", -3, "frequency_penalty"), ("max_tokens", -1, "max_tokens"), ("top_k", -5, "top_k"), ("priority", 101, "priority"),
    ("logit_bias", {1: 101}, "logit_bias"), ("logit_bias", {1: math.nan}, "logit_bias"), ("logit_bias", {128: 1}, "logit_bias"),
    ("logit_bias", {-1: 1}, "logit_bias"), ("logit_bias", {2**31: 1}, "logit_bias"), ("logit_bias", {"x": 1}, "logit_bias"),
    ("logit_bias", [1], "logit_bias"), ("stop", [""], "stop"), ("stop", ["x"] * 17, "stop"), ("stop", 5, "stop"), ("stop", ["a\0b"], "stop"),
    ("stop", [None], "stop"), ("model", 5, "model"), ("caller", "me", "caller"), ("caller", {"distance_km": math.nan}, "caller.distance_km"),
    ("caller", {"who": 1}, "caller.who"), ("messages", [], "messages"), ("messages", "Hi", "messages"), ("messages", [5], "messages[0]"),
    ("messages", [{"role": "user"}], "messages[0].content"), ("messages", [{"content": "Hi"}], "messages[0].role"),
    ("messages", [{"role": "user", "content": 5}], "messages[0].content"), ("stream_options", {"include_usage": True}, "stream_options"),
])
def test_fields_of_a_chat(name, value, param, tiny):
    refused(lambda: tiny.chat.completions.create(**{"messages": MESSAGES, "max_tokens": 1, name: value}), Status.ARGUMENT, param)


@pytest.mark.parametrize("name,value", [
    ("tools", []), ("tool_choice", "auto"), ("functions", []), ("function_call", "none"), ("parallel_tool_calls", True),
    ("response_format", {"type": "json_object"}), ("modalities", ["audio"]), ("reasoning_effort", "low")])
def test_later_features_of_a_chat(name, value, tiny):
    refused(lambda: tiny.chat.completions.create(**{"messages": MESSAGES, name: value}), Status.UNSUPPORTED, name, name)


@pytest.mark.parametrize("name,value", [("echo", True), ("suffix", "x"), ("best_of", 2), ("prompt", ["a", "b"])])
def test_later_features_of_a_completion(name, value, tiny):
    refused(lambda: tiny.completions.create(**{"prompt": "a", name: value}), Status.UNSUPPORTED, name, name)


def test_later_features_of_messages(tiny):
    for message, param in (({"role": "user", "content": "a", "name": "x"}, "messages[0].name"),
                           ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0]")):
        refused(lambda m=message: tiny.chat.completions.create(messages=[m]), Status.UNSUPPORTED, param)
    refused(lambda: llmcall.Grammar(regex="a+"), Status.UNSUPPORTED, "regex")


def test_what_asks_for_nothing_is_served(tiny):
    tiny.chat.completions.create(messages=MESSAGES, max_tokens=1, tools=None, response_format={"type": "text"}, user="me", stop=[],
                                 logit_bias={}, n=1, caller={})
    tiny.completions.create(prompt="a", max_tokens=1, echo=False, best_of=1, suffix=None)


def test_unknown_keywords(tiny):
    with pytest.raises(TypeError, match="max_token'"):
        tiny.chat.completions.create(messages=MESSAGES, max_token=1)
    with pytest.raises(TypeError, match="messages"):
        tiny.completions.create(prompt="a", messages=MESSAGES)
    with pytest.raises(TypeError, match="prompt"):
        tiny.completions.create()
    with pytest.raises(TypeError, match="kv_byte'"):
        llmcall.Engine("x.gguf", kv_byte=1)


# ---- Prompts ----


@pytest.mark.parametrize("text", [b"\xff\xfe", b"ab\xc3(", "\udc80"])
def test_text_that_is_not_utf8(engine, text):
    refused(lambda: engine.completions.create(prompt=text), Status.UTF8, "prompt")
    refused(lambda: engine.chat.completions.create(messages=[{"role": "user", "content": text}]), Status.UTF8, "messages.content")
    refused(lambda: engine.chat.completions.create(messages=MESSAGES, stop=text), Status.UTF8, "stop")


def test_prompt_longer_than_the_context(engine):
    error = refused(lambda: engine.completions.create(prompt="word " * 3000), Status.CONTEXT_LENGTH, "prompt", "2048")
    assert error.code == "context_length_exceeded" and error.http_status == 400
    refused(lambda: engine.chat.completions.create(messages=[{"role": "user", "content": "word " * 3000}]), Status.CONTEXT_LENGTH,
            "messages", "2048")
    refused(lambda: engine.completions.create(prompt=[5] * 2048), Status.CONTEXT_LENGTH, "tokens", "2048")
    refused(lambda: engine.score([5] * 2049), Status.CONTEXT_LENGTH, "tokens", "2049", "2048")


def test_token_ids(engine):
    for ids, value in (([1, 49152], "49152"), ([-1], "-1"), ([1, 2**31], 2**31), ([1, 2.5], "2.5")):
        refused(lambda i=ids: engine.completions.create(prompt=i), Status.ARGUMENT, None, value)
        refused(lambda i=ids: engine.score(i), Status.ARGUMENT, None, value)
    refused(lambda: engine.completions.create(prompt=[]), Status.ARGUMENT, "tokens")
    refused(lambda: engine.completions.create(prompt=""), Status.ARGUMENT, "prompt")
    refused(lambda: engine.score([]), Status.ARGUMENT, "tokens")


def test_a_model_that_is_not_there(engine):
    for function in (lambda: engine.completions.create(prompt="a", model="gpt-4"), lambda: engine.tokenize("a", model="gpt-4"),
                     lambda: engine.model_info("gpt-4"), lambda: engine.score([1], model="gpt-4")):
        error = refused(function, Status.NOT_FOUND, "model", "gpt-4")
        assert error.http_status == 404 and error.code == "model_not_found"


# ---- Files ----


def load(path, **options):
    return lambda: llmcall.Engine(path, threads=1, **options)


def test_no_file(tmp_path):
    refused(load(tmp_path / "missing.gguf"), Status.NOT_FOUND, None, "missing.gguf")
    refused(load(tmp_path), (Status.IO, Status.FORMAT, Status.NOT_FOUND))


@pytest.mark.parametrize("data", [b"", b"G", b"not a model at all, just text", b"GGUF", b"GGUF\x09\0\0\0" + bytes(16), bytes(4096)])
def test_not_gguf(tmp_path, data):
    (tmp_path / "bad.gguf").write_bytes(data)
    refused(load(tmp_path / "bad.gguf"), (Status.FORMAT, Status.UNSUPPORTED))


def test_truncated(fixture_path, tmp_path):
    whole = fixture_path("llama-dense").read_bytes()
    for size in [*range(0, 2000, 37), len(whole) // 2, len(whole) - 64]:
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        refused(load(tmp_path / "cut.gguf"), Status.FORMAT)


def test_missing_tensors(tmp_path):
    for name in ("blk.1.ffn_down.weight", "output_norm.weight", "token_embd.weight"):
        refused(load(write_fixture(tmp_path / "m.gguf", drop=[name])), Status.FORMAT, name, name)


def test_wrong_shapes(tmp_path):
    for name, shape in (("blk.0.attn_q.weight", (32, 64)), ("blk.1.ffn_up.weight", (96, 32)), ("output_norm.weight", (63,)),
                        ("token_embd.weight", (127, 64))):
        path = write_fixture(tmp_path / "s.gguf", tensors={name: np.zeros(shape, np.float32)})
        refused(load(path), Status.FORMAT, name, name, shape[0])


def test_missing_and_absurd_keys(tmp_path):
    for key, given in (("llama.block_count", None), ("llama.attention.head_count", ("UINT32", 0)), ("llama.embedding_length", ("UINT32", 65)),
                       ("llama.block_count", ("UINT32", 2**32 - 1)), ("llama.attention.head_count_kv", ("UINT32", 3)),
                       ("llama.attention.layer_norm_rms_epsilon", ("FLOAT32", math.nan)), ("llama.context_length", ("STRING", "long"))):
        error = refused(load(write_fixture(tmp_path / "k.gguf", keys={key: given})), (Status.FORMAT, Status.UNSUPPORTED))
        assert error.param, error.message


def test_unknown_architecture(tmp_path):
    refused(load(write_fixture(tmp_path / "a.gguf", architecture="perceptron")), Status.UNSUPPORTED, "general.architecture", "perceptron")


def test_unknown_tokenizer(tmp_path):
    path = write_fixture(tmp_path / "t.gguf", keys={"tokenizer.ggml.model": ("STRING", "hieroglyphs"),
                                                 "tokenizer.ggml.tokens": ("ARRAY", [f"t{i}" for i in range(128)])})
    refused(load(path), Status.UNSUPPORTED, "tokenizer.ggml.model", "hieroglyphs")


def test_a_model_that_does_not_fit(model_path):
    need = llmcall.estimate(model_path).total_bytes
    error = refused(load(model_path, max_memory=50 << 20), Status.NO_MEMORY, None, 50 << 20)
    assert str(need)[:2] in error.message or "MiB" in error.message
    refused(load(model_path, kv_bytes=2**50), Status.NO_MEMORY)
    refused(load(model_path, kv_bytes=1), (Status.NO_MEMORY, Status.ARGUMENT))


@pytest.mark.parametrize("name,value", [
    ("threads", -2), ("threads", 5000), ("threads", "2"), ("threads", 2**40), ("max_step_tokens", -1), ("max_step_tokens", 10**6),
    ("max_sequences", 10**6), ("max_queue", 2**33), ("max_choices", 1000), ("kv_bytes", -1), ("context_length", -1), ("context_length", 2.5),
    ("kv_type", "q4_0"), ("kv_type", 1), ("kv_type", ["f16"]), ("max_memory", 2**64), ("price_prompt", -1), ("price_completion", 2**63), ("path", "a\0b"), ("name", "x" * 70)])
def test_options(name, value, model_path):
    options = {"path": model_path, "vocab_only": True, name: value}
    error = refused(lambda: llmcall.Engine(**options), Status.ARGUMENT)
    assert error.param and (error.param == name or error.param == "price")


def test_a_context_longer_than_the_models(fixture_path):
    """Either refused by name, or the engine says what it gives."""
    try:
        with llmcall.Engine(fixture_path("llama-dense"), threads=1, context_length=100_000, kv_bytes=1 << 20) as engine:
            assert engine.model_info().context_length <= 100_000
    except Error as error:
        assert error.status in (Status.ARGUMENT, Status.NO_MEMORY) and error.message


def test_progress_stops_a_load(model_path):
    seen = []

    def stop(done, total):
        seen.append((done, total))
        return len(seen) == 3

    refused(load(model_path, progress=stop), Status.CANCELLED)
    assert len(seen) == 3 and all(done <= total for done, total in seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        llmcall.Engine(model_path, progress=interrupt)


def test_the_engine_goes_on_after_a_failed_load(tiny, tmp_path):
    refused(lambda: tiny.load(tmp_path / "missing.gguf"), Status.NOT_FOUND)
    refused(lambda: tiny.load(write_fixture(tmp_path / "m.gguf", drop=["output_norm.weight"])), Status.FORMAT)
    assert tiny.completions.create(prompt="ab", max_tokens=2).usage.completion_tokens >= 1


def test_two_models_of_one_name(fixture_path):
    with llmcall.Engine(fixture_path("llama-dense"), threads=1, name="one") as engine:
        refused(lambda: engine.load(fixture_path("llama-dense"), name="one"), Status.ARGUMENT, "name", "one")
        engine.load(fixture_path("qwen2-dense"), name="two")
        spec = fixtures.description("qwen2-dense")
        assert fixtures.nmse(engine.score(spec["tokens"], model="two"), fixtures.logits("qwen2-dense")) <= 1e-8


def test_a_vocabulary_computes_nothing(vocabularies):
    with llmcall.Engine(vocabularies / "ggml-vocab-gpt-2.gguf", vocab_only=True, threads=1) as engine:
        for call in (lambda: engine.score([1]), lambda: engine.completions.create(prompt="a"),
                     lambda: engine.chat.completions.create(messages=[{"role": "user", "content": "a"}]),
                     lambda: engine.chat.completions.create(messages=[{"role": "user", "content": "a"}], stream=True)):
            refused(call, Status.UNSUPPORTED, "model", "vocab_only")


def test_a_closed_engine(fixture_path):
    engine = llmcall.Engine(fixture_path("llama-dense"), threads=1)
    engine.close()
    engine.close()
    refused(lambda: engine.tokenize("a"), Status.ARGUMENT, "engine")
    refused(lambda: engine.completions.create(prompt=[1]), Status.ARGUMENT, "engine")
