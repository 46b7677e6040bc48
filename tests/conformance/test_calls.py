"""Calls, whole: chat and completions on the small real model, streams, stops, sampling, the bill, and every way to end."""
import json
import time

import llmcall
import numpy as np
import pytest
from conftest import PRICES
from isolated import run_python
from llmcall import Error, Status
from reference_llama import log_softmax

FRANCE = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "What is the capital of France?"}]
STORY = "Once upon a time, in a land of mountains and rivers,"
STAGES = ["network", "http", "auth", "limits", "validate", "route", "tokenize", "queue", "cache", "prefill", "decode", "output",
          "package", "bill"]


def text_of(chunks, index=0):
    parts = []
    for chunk in chunks:
        for choice in chunk.choices:
            if choice.index == index:
                parts.append((choice.delta.content or "") if hasattr(choice, "delta") else choice.text)
    return "".join(parts)


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


# ---- Answers ----


def test_paris(engine):
    reply = engine.chat.completions.create(messages=FRANCE, temperature=0, max_tokens=32)
    assert "Paris" in reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "stop" and reply.choices[0].message.role == "assistant"


def test_shape_of_a_chat_completion(engine):
    reply = engine.chat.completions.create(messages=FRANCE, temperature=0, max_tokens=4, logprobs=True, top_logprobs=2, user="u")
    whole = json.loads(json.dumps(reply.model_dump()))
    assert list(whole) == ["id", "object", "created", "model", "choices", "usage"]
    assert whole["object"] == "chat.completion" and whole["id"].startswith("chatcmpl-") and whole["model"] == engine.model_info().name
    assert abs(whole["created"] - time.time()) < 60
    (choice,) = whole["choices"]
    assert list(choice) == ["index", "message", "finish_reason", "logprobs"] and choice["finish_reason"] == "length"
    assert len(choice["logprobs"]["content"]) == 4
    for token in choice["logprobs"]["content"]:
        assert {"token", "bytes", "logprob", "top_logprobs"} <= set(token) and len(token["top_logprobs"]) == 2
        assert bytes(token["bytes"]).decode() == token["token"]
    assert "".join(token["token"] for token in choice["logprobs"]["content"]) == choice["message"]["content"]
    usage = whole["usage"]
    assert usage["completion_tokens"] == 4 and usage["total_tokens"] == usage["prompt_tokens"] + 4
    assert usage["prompt_tokens"] == engine.count_tokens(FRANCE)


def test_shape_of_a_text_completion(engine):
    reply = engine.completions.create(prompt="The capital of France is", temperature=0, logprobs=2)
    (choice,) = reply.choices
    assert reply.object == "text_completion" and reply.id.startswith("cmpl-")
    assert reply.usage.completion_tokens == 16 and choice.finish_reason == "length"  # the API's default
    legacy = choice.logprobs
    assert "".join(legacy.tokens) == choice.text and len(legacy.token_logprobs) == len(legacy.text_offset) == 16
    assert [choice.text[at:][: len(token)] for at, token in zip(legacy.text_offset, legacy.tokens)] == legacy.tokens
    assert all(len(top) == 2 and token in top for top, token in zip(legacy.top_logprobs, legacy.tokens))
    assert engine.completions.create(prompt="a", max_tokens=1, logprobs=0).choices[0].logprobs.top_logprobs is None


def test_prompt_forms_are_one(engine):
    ids = engine.tokenize(STORY, special=False)
    replies = [engine.completions.create(prompt=prompt, temperature=0) for prompt in (STORY, STORY.encode(), ids, np.array(ids))]
    assert len({reply.choices[0].text for reply in replies}) == 1
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is the capital"}, {"type": "text", "text": " of France?"}]}]
    assert engine.count_tokens(FRANCE[:1] + parts) == engine.count_tokens(FRANCE)


# ---- Streams ----


def test_shape_of_a_stream(engine):
    stream = engine.chat.completions.create(messages=FRANCE, temperature=0, max_tokens=32, stream=True,
                                            stream_options={"include_usage": True})
    chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"} and len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.model_dump() == {"role": "assistant", "content": ""}
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 8 and stream.usage == chunks[-1].usage
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert all(chunk.choices[0].delta.role is None and chunk.choices[0].delta.content for chunk in chunks[1:-2])
    assert chunks[-2].choices[0].delta.content is None
    without = list(engine.chat.completions.create(messages=FRANCE, temperature=0, max_tokens=2, stream=True))
    assert without[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize("seed", range(6))
def test_stream_is_the_whole(seed, engine):
    """Also where the text is wild: high temperatures give tokens that are parts of characters."""
    given = {"prompt": STORY, "max_tokens": 24, "seed": seed, "temperature": 0.8 + seed, "n": 1 + seed % 3, "logprobs": 1, "ignore_eos": True}
    whole = engine.completions.create(**given)
    chunks = list(engine.completions.create(**given, stream=True))
    for choice in whole.choices:
        assert text_of(chunks, choice.index) == choice.text
        pieces = [c.choices[0].logprobs for c in chunks if c.choices[0].index == choice.index and c.choices[0].logprobs]
        assert [token for piece in pieces for token in piece.tokens] == choice.logprobs.tokens
        assert [offset for piece in pieces for offset in piece.text_offset] == choice.logprobs.text_offset
    reasons = [(c.choices[0].index, c.choices[0].finish_reason) for c in chunks if c.choices[0].finish_reason]
    assert sorted(reasons) == [(i, "length") for i in range(given["n"])]


# ---- Stop strings ----


@pytest.fixture(scope="module")
def story(engine):
    return engine.completions.create(prompt=STORY, temperature=0, max_tokens=40, ignore_eos=True).choices[0].text


def stopped(engine, stop):
    given = {"prompt": STORY, "temperature": 0, "max_tokens": 40, "ignore_eos": True, "stop": stop}
    (choice,) = engine.completions.create(**given).choices
    chunks = list(engine.completions.create(**given, stream=True))
    assert text_of(chunks) == choice.text
    return choice.text, choice.finish_reason


@pytest.mark.parametrize("begin,size", [(0, 1), (3, 4), (17, 9), (40, 2), (61, 23), (80, 1)])
def test_a_stop_string_neither_leaks_nor_swallows(begin, size, engine, story):
    """A piece of what would be said, wherever tokens end: the text is what stands before its first appearance."""
    stop = story[begin : begin + size]
    assert stop and stopped(engine, stop) == (story[: story.index(stop)], "stop")


def test_several_stop_strings(engine, story):
    stops = [story[50:58], story[30:70], "never said", story[44:45] + "never"]
    assert stopped(engine, stops) == (story[: min(story.index(stop) for stop in stops[:2])], "stop")


@pytest.mark.parametrize("stop", ["\x01never", "Z" * 50])
def test_a_stop_string_that_never_comes_costs_nothing(stop, engine, story):
    assert stopped(engine, stop) == (story, "length")
    assert stopped(engine, story[-6:] + "Z") == (story, "length")  # held back to the end, then said


# ---- Sampling ----


def test_logprobs_are_the_scores(engine):
    """Of the model's own distribution, whatever the temperature; the likeliest are those of the row."""
    reply = engine.chat.completions.create(messages=FRANCE, temperature=1.5, seed=3, max_tokens=12, logprobs=True, top_logprobs=5,
                                           ignore_eos=True)
    content = reply.choices[0].logprobs.content
    prompt = engine.tokenize(engine.apply_template(FRANCE))
    rows = log_softmax(engine.score(prompt + [token.id for token in content])[len(prompt) - 1 : -1])
    for token, row in zip(content, rows):
        assert token.logprob == pytest.approx(row[token.id], abs=1e-4)
        assert [top.id for top in token.top_logprobs] == list(np.argsort(-row, kind="stable")[:5])
        assert [top.logprob for top in token.top_logprobs] == pytest.approx(np.sort(row)[::-1][:5], abs=1e-4)


def chat_ids(engine, **given):
    reply = engine.chat.completions.create(**{"messages": FRANCE, "max_tokens": 16, "logprobs": True, "ignore_eos": True, **given})
    return [token.id for token in reply.choices[0].logprobs.content]


@pytest.fixture(scope="module")
def greedy(engine):
    return chat_ids(engine, temperature=0)


@pytest.mark.parametrize("given", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1}, {"temperature": 1e-3}], ids=str)
def test_ways_to_be_greedy(given, engine, greedy):
    assert chat_ids(engine, **{"temperature": 1.0, "seed": 5, **given}) == greedy


def test_logit_bias(engine, greedy):
    (forced,) = engine.tokenize(" zebra", special=False)
    assert chat_ids(engine, logit_bias={forced: 100}, max_tokens=4) == [forced] * 4
    assert chat_ids(engine, logit_bias={str(forced): 100}, max_tokens=2, temperature=0) == [forced] * 2
    assert greedy[0] not in chat_ids(engine, logit_bias={greedy[0]: -100}, temperature=0)


@pytest.mark.parametrize("given", [{"frequency_penalty": 1.5}, {"presence_penalty": 2}, {"repetition_penalty": 1.5},
                                   {"presence_penalty": -1}], ids=str)
def test_penalties(given, engine, greedy):
    """Each token is the likeliest after its row was changed by what was said before."""
    got = chat_ids(engine, temperature=0, max_tokens=24, **given)
    prompt = engine.tokenize(engine.apply_template(FRANCE))
    rows = engine.score(prompt + got)[len(prompt) - 1 : -1].astype(np.float64)
    for i, row in enumerate(rows):
        for token in set(got[:i]):
            row[token] -= given.get("frequency_penalty", 0) * got[:i].count(token) + given.get("presence_penalty", 0)
        for token in set(prompt + got[:i]) if "repetition_penalty" in given else ():
            row[token] = row[token] / 1.5 if row[token] > 0 else row[token] * 1.5
        assert row[got[i]] >= row.max() - 1e-4, i
    assert got[:16] != greedy or given == {"presence_penalty": -1}


# ---- Ends ----


def test_the_contexts_end(model_path):
    with llmcall.Engine(model_path, threads=2, context_length=64, kv_bytes=8 << 20) as engine:
        prompt = engine.tokenize(STORY, special=False)
        reply = engine.completions.create(prompt=prompt, max_tokens=10**6, ignore_eos=True, temperature=0)
        assert reply.usage.total_tokens == 64 and reply.choices[0].finish_reason == "length"
        chat = engine.chat.completions.create(messages=FRANCE, ignore_eos=True, temperature=0)  # no max_tokens at all
        assert chat.usage.total_tokens == 64


def test_deadline(engine):
    before = engine.metrics().calls_failed
    with pytest.raises(Error) as caught:
        engine.completions.create(prompt=STORY, max_tokens=1000, ignore_eos=True, timeout=0.15)
    assert caught.value.status == Status.DEADLINE and caught.value.http_status == 504
    assert 0.15e9 <= caught.value.usage.total_ns and caught.value.usage.status == Status.DEADLINE
    wait_until(lambda: engine.metrics().running == 0)
    assert engine.metrics().calls_failed == before + 1


def test_cancel_from_another_place(engine):
    stream = engine.completions.create(prompt=STORY, max_tokens=1000, ignore_eos=True, stream=True, stream_options={"include_usage": True})
    next(stream)
    stream.cancel()
    stream.cancel()
    chunks = list(stream)
    assert chunks[-2].choices[0].finish_reason == "cancelled" and chunks[-1].usage.status == Status.CANCELLED
    assert 0 < chunks[-1].usage.completion_tokens < 1000


def test_a_dropped_stream_is_cancelled(engine):
    before = engine.metrics()
    for how in (lambda s: None, lambda s: s.close(), lambda s: next(s)):
        stream = engine.completions.create(prompt=STORY, max_tokens=1000, ignore_eos=True, stream=True)
        how(stream)
        del stream
    wait_until(lambda: engine.metrics().running == 0 and engine.metrics().waiting == 0)
    assert engine.metrics().calls_cancelled == before.calls_cancelled + 3
    wait_until(lambda: engine.metrics().kv_pages_used == 0)


def test_cancel_takes_one_step(model_path):
    """Driven by hand: in the middle of a prompt and in the middle of an answer the pages are free one step after the cancel."""
    with llmcall.Engine(model_path, threads=0, context_length=512, kv_bytes=16 << 20, max_step_tokens=16) as engine:
        for prompt, steps in ((list(range(200, 400)), 3), (list(range(10)), 4)):
            stream = engine.completions.create(prompt=prompt, max_tokens=300, ignore_eos=True, stream=True)
            for _ in range(steps):
                assert engine.step()
            assert engine.metrics().kv_pages_used > 0
            stream.cancel()
            assert not engine.step()
            assert engine.metrics().kv_pages_used == 0 and engine.metrics().running == 0
            assert list(stream)[-1].choices[0].finish_reason == "cancelled"


def test_an_interrupt_ends_the_call_and_not_the_program(model_path):
    printed = run_python(INTERRUPT, model_path)
    assert printed.split() == ["interrupted", "CANCELLED", "1"]


INTERRUPT = """
import os, signal, sys, threading, time, llmcall
bills = []
with llmcall.Engine(sys.argv[1], threads=1, context_length=2048, kv_bytes=64 << 20, usage=bills.append) as engine:
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        engine.completions.create(prompt="Once", max_tokens=2000, ignore_eos=True)
    except KeyboardInterrupt:
        print("interrupted")
    while not bills:
        time.sleep(0.01)
print(llmcall.Status(bills[0].status).name, len(bills))
"""


def test_the_engine_may_close_under_a_call(model_path):
    engine = llmcall.Engine(model_path, threads=1, context_length=512, kv_bytes=16 << 20)
    stream = engine.completions.create(prompt=STORY, max_tokens=400, ignore_eos=True, stream=True)
    next(stream)
    engine.close()
    with pytest.raises(Error) as caught:
        list(stream)
    assert caught.value.status == Status.CLOSED and caught.value.usage.completion_tokens > 0


# ---- By hand, and the queue ----


def test_without_threads(model_path):
    with llmcall.Engine(model_path, threads=0, context_length=512, kv_bytes=16 << 20) as engine:
        assert not engine.step()
        reply = engine.chat.completions.create(messages=FRANCE, temperature=0, max_tokens=32)
        assert "Paris" in reply.choices[0].message.content
        assert "Paris" in text_of(engine.chat.completions.create(messages=FRANCE, temperature=0, max_tokens=32, stream=True))
        with pytest.raises(Error) as caught:
            engine.completions.create(prompt=STORY, max_tokens=400, ignore_eos=True, timeout=0.1)
        assert caught.value.status == Status.DEADLINE
        assert engine.score([1, 2, 3]).shape == (3, 49152)


def test_step_belongs_to_engines_without_threads(engine):
    with pytest.raises(Error) as caught:
        engine.step()
    assert caught.value.status == Status.ARGUMENT and caught.value.param == "threads"


def test_a_full_queue_says_when_to_come_back(model_path):
    with llmcall.Engine(model_path, threads=0, context_length=512, kv_bytes=16 << 20, max_sequences=1, max_queue=2) as engine:
        give = {"prompt": "a", "max_tokens": 2, "ignore_eos": True, "stream": True}
        streams = [engine.completions.create(**give)]
        engine.step()
        streams += [engine.completions.create(**give) for _ in range(2)]
        with pytest.raises(Error) as caught:
            engine.completions.create(**give)
        error = caught.value
        assert error.status == Status.QUEUE_FULL and error.http_status == 503 and error.retry_after_ms > 0 and error.code == "queue_full"
        assert engine.metrics().waiting == 2
        for stream in streams:
            assert list(stream)[-1].choices[0].finish_reason == "length"
        list(engine.completions.create(**give))


def test_priority(model_path):
    """With room for one at a time, the call that matters more goes first, though it came last."""
    with llmcall.Engine(model_path, threads=0, context_length=512, kv_bytes=16 << 20, max_sequences=1) as engine:
        order = []
        streams = {p: engine.completions.create(prompt="a", max_tokens=2, ignore_eos=True, priority=p, stream=True) for p in (-50, 0, 50)}
        while engine.step():
            for priority, stream in streams.items():
                if priority not in order and any(span.stage == 10 for span in stream.timeline()):
                    order.append(priority)
        assert order == [50, 0, -50]


# ---- The bill ----


def rounded(tokens, price):
    return (tokens * price + 500_000) // 1_000_000


def test_usage_and_prices(engine):
    """The second identical prompt is cached but for its last page, and costs what the price list says, to the last unit."""
    messages = FRANCE + [{"role": "assistant", "content": "Paris."}, {"role": "user", "content": "And of Italy, which is in the south?"}]
    first = engine.chat.completions.create(messages=messages, temperature=0, max_tokens=5, ignore_eos=True).usage
    second = engine.chat.completions.create(messages=messages, temperature=0, max_tokens=5, ignore_eos=True).usage
    assert first.call_id != second.call_id and first.tenant == "default" and first.status == Status.OK
    cached = second.prompt_tokens_details.cached_tokens
    assert cached >= (second.prompt_tokens - 1) // 16 * 16 > 16 and cached % 16 == 0
    for usage in (first, second):
        assert usage.completion_tokens == 5
        fresh = usage.prompt_tokens - usage.prompt_tokens_details.cached_tokens
        assert usage.cost_prompt_nano == rounded(fresh, PRICES["price_prompt"])
        assert usage.cost_cached_nano == rounded(usage.prompt_tokens_details.cached_tokens, PRICES["price_cached"])
        assert usage.cost_completion_nano == rounded(5, PRICES["price_completion"])
        assert usage.cost_nano == usage.cost_prompt_nano + usage.cost_cached_nano + usage.cost_completion_nano
        assert 0 < usage.first_token_ns <= usage.total_ns


def test_choices_are_billed_together(engine):
    reply = engine.completions.create(prompt=STORY, max_tokens=6, n=3, ignore_eos=True)
    assert reply.usage.completion_tokens == 18 and reply.usage.prompt_tokens == len(engine.tokenize(STORY))
    assert [choice.index for choice in reply.choices] == [0, 1, 2]


def test_timeline(engine):
    reply = engine.chat.completions.create(messages=FRANCE, temperature=0, max_tokens=8, caller={"distance_km": 1000, "http_ns": 5_000_000})
    spans = reply.timeline()
    assert [span.name for span in spans] == STAGES and [span.stage for span in spans] == list(range(1, 15))
    by_name = {span.name: span for span in spans}
    assert by_name["network"].busy_ns >= 2 * 1000 * 5_000 and by_name["http"].busy_ns == 5_000_000
    usage = reply.usage
    assert by_name["tokenize"].tokens == usage.prompt_tokens
    assert by_name["cache"].tokens + by_name["prefill"].tokens == usage.prompt_tokens
    assert by_name["decode"].tokens == usage.completion_tokens
    assert sum(span.cost_nano for span in spans) == usage.cost_nano
    for span in spans:
        assert span.start_ns <= span.end_ns and 0 <= span.busy_ns <= span.end_ns - span.start_ns
    starts = [span.start_ns for span in spans]
    assert starts == sorted(starts)
    assert sum(span.busy_ns for span in spans[2:]) <= usage.total_ns * 1.01


def test_metrics(engine):
    before = engine.metrics()
    usage = engine.completions.create(prompt=STORY, max_tokens=3, ignore_eos=True).usage
    after = engine.metrics()
    assert after.calls_started == before.calls_started + 1 and after.calls_finished == before.calls_finished + 1
    assert after.prompt_tokens == before.prompt_tokens + usage.prompt_tokens
    assert after.completion_tokens == before.completion_tokens + 3
    assert after.steps > before.steps
    wait_until(lambda: engine.metrics().usage_pending == 0)  # the bill goes out on the delivery thread
    assert after.kv_pages_used + after.kv_pages_cached <= after.kv_pages
