"""determinism.md as equality of bits: whatever shares the step, however the prompt is cut or cached, on any number of threads."""
import subprocess
import sys

import llmcall
import numpy as np
import pytest
from company import company, in_one_batch

PROMPT = ("In the beginning there was a small village between two rivers, and everyone who lived there knew the names of all the "
          "trees on both banks. Every spring the oldest of them would walk from one tree to the next and say the names aloud, so that "
          "the children would learn them. This is the story of the year in which nobody remembered the name of the last tree.")
SAMPLED = {"prompt": PROMPT, "max_tokens": 12, "temperature": 0.9, "top_p": 0.95, "seed": 7, "logprobs": 3, "ignore_eos": True}
# Busy for 30 ms, away for 50.
HOG = """
import time
while True:
    until = time.monotonic() + 0.03
    while time.monotonic() < until:
        pass
    time.sleep(0.05)
"""
SMALL = {"context_length": 512, "kv_bytes": 24 << 20}


def bits(logits):
    return np.ascontiguousarray(logits).view(np.uint32)


def answer(engine, **changes):
    """What must not change: text and log-probabilities of every choice, to the last bit."""
    reply = engine.completions.create(**{**SAMPLED, **changes})
    return [(choice.text, choice.logprobs.tokens, choice.logprobs.token_logprobs, choice.logprobs.top_logprobs)
            for choice in reply.choices]


@pytest.fixture(scope="module")
def tokens(engine):
    return engine.tokenize(PROMPT, special=False)


@pytest.fixture(scope="module")
def expected(model_path, tokens):
    """One thread, alone, nothing cached."""
    with llmcall.Engine(model_path, threads=1, prefix_cache=False, **SMALL) as alone:
        return bits(alone.score(tokens)), answer(alone)


@pytest.mark.parametrize("chunk", [1, 7, 16, 64, 512])
def test_chunks(chunk, model_path, tokens, expected):
    with llmcall.Engine(model_path, threads=2, max_step_tokens=chunk, **SMALL) as engine:
        n = 24 if chunk == 1 else len(tokens)
        assert np.array_equal(bits(engine.score(tokens[:n])), expected[0][:n])
        if chunk > 1:
            assert answer(engine) == expected[1]


@pytest.mark.parametrize("threads", [0, 1, 2, 3])
def test_threads(threads, model_path, tokens, expected):
    with llmcall.Engine(model_path, threads=threads, **SMALL) as engine:
        assert np.array_equal(bits(engine.score(tokens)), expected[0])
        assert answer(engine) == expected[1]


def test_more_threads_than_free_cores(model_path, tokens, expected):
    """Other processes take the cores away, so that runs begin with fewer threads than the last: that is no other result."""
    hogs = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(2)]
    try:
        with llmcall.Engine(model_path, threads=3, **SMALL) as engine:
            for i in range(60):
                n = 8 + i % 9
                assert np.array_equal(bits(engine.score(tokens[:n])), expected[0][:n]), i
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_cold_and_warm_cache(model_path, expected):
    with llmcall.Engine(model_path, threads=2, **SMALL) as engine:
        assert answer(engine) == expected[1]
        assert answer(engine) == expected[1]
        # A longer prompt over the same beginning, then the first one again.
        longer = engine.completions.create(prompt=PROMPT + " It was", max_tokens=2, temperature=0)
        assert longer.usage.prompt_tokens_details.cached_tokens >= 48
        assert answer(engine) == expected[1]
        assert engine.metrics().cached_tokens >= 3 * 48


def test_choices(model_path, expected):
    """Choice 0 of many is the only one of one; the choices share the prompt's pages and differ from each other."""
    with llmcall.Engine(model_path, threads=2, **SMALL) as engine:
        four = answer(engine, n=4)
        assert four[:1] == expected[1]
        assert len({text for text, *_ in four}) > 1
        assert answer(engine, n=4) == four


def test_beside_other_calls(model_path, tokens, expected):
    """Eight calls of every shape at once, started and cancelled at any time, while ours are computed."""
    with llmcall.Engine(model_path, threads=2, **SMALL) as engine:
        with company(engine, 8, lambda number, round_: PROMPT[number * 11 : number * 11 + 40 + 37 * (round_ % 3)]):
            for _ in range(2):
                assert answer(engine) == expected[1]
                assert np.array_equal(bits(engine.score(tokens[:40])), expected[0][:40])


def test_preemption(model_path):
    """A cache too small for all of them: some give up their pages and are computed again, and nobody can tell."""
    calls = [{**SAMPLED, "prompt": PROMPT[: 60 + 20 * i], "max_tokens": 40, "seed": i, "logprobs": 0} for i in range(4)]
    context, per_token = 96, llmcall.estimate(model_path).kv_bytes_per_token
    with llmcall.Engine(model_path, threads=2, **SMALL) as roomy:
        alone = [answer(roomy, **call)[0] for call in calls]
    with llmcall.Engine(model_path, threads=0, context_length=context, kv_bytes=8 * 16 * per_token, prefix_cache=False) as tight:
        got = in_one_batch(tight, calls)
        assert tight.metrics().preemptions > 0
    assert got == [(text, values) for text, _, values, _ in alone]


def test_q8_0_cache(model_path, tokens, expected):
    """The promises hold for keys and values in 8 bits: in chunks, on threads, in a batch, from the cache."""
    options = {**SMALL, "kv_type": "q8_0"}
    with llmcall.Engine(model_path, threads=1, prefix_cache=False, **options) as alone:
        scores, reply = bits(alone.score(tokens)), answer(alone)
        four = answer(alone, n=4)
    assert not np.array_equal(scores, expected[0])
    for threads, chunk in ((2, 512), (3, 16), (1, 7)):
        with llmcall.Engine(model_path, threads=threads, max_step_tokens=chunk, **options) as engine:
            assert np.array_equal(bits(engine.score(tokens)), scores)
            assert answer(engine) == reply and answer(engine) == reply
            assert answer(engine, n=4) == four and four[:1] == reply
            assert engine.metrics().cached_tokens >= 2 * 48


def test_seeds(engine):
    first = answer(engine, seed=1)
    assert answer(engine, seed=1) == first and answer(engine, seed=2) != first
    unseeded = {**SAMPLED, "seed": None, "logprobs": None}
    drawn = {engine.completions.create(**unseeded).choices[0].text for _ in range(4)}
    assert len(drawn) > 1
