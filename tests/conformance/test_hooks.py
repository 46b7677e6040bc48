"""The hooks as an operator uses them: who may call, where it runs, what may be said, and the bill that is never lost."""
import collections
import time

import fixtures
import llmcall
import pytest
from llmcall import Error, Status

SMALL = {"threads": 2, "context_length": 512, "kv_bytes": 24 << 20}
STORY = "Once upon a time, in a land of mountains and rivers,"
GIVEN = {"prompt": STORY, "temperature": 0, "max_tokens": 24, "ignore_eos": True}


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


# ---- Admission ----


def test_admit_sees_the_caller_and_decides(model_path):
    seen, bills = [], []

    def admit(request):
        seen.append(request)
        return {"tenant": "north", "max_tokens_limit": 3, "cache_salt": 11, "priority": 5}

    caller = {"credential": "sk-secret", "region": "eu-north", "trace_id": "0af7651916cd43dd8448eb211c80319c", "distance_km": 12.5}
    with llmcall.Engine(model_path, admit=admit, usage=bills.append, **SMALL) as engine:
        reply = engine.completions.create(**GIVEN, caller=caller, model=engine.model_info().name)
        assert reply.usage.tenant == "north" and reply.usage.completion_tokens == 3
        assert reply.usage.trace_id == caller["trace_id"]
    (request,) = seen
    assert {key: getattr(request, key) for key in caller} == caller and request.model == reply.model
    assert [(bill.tenant, bill.call_id) for bill in bills] == [("north", reply.usage.call_id)]


@pytest.mark.parametrize("refusal", [Error(Status.RATE_LIMIT, "slow_down", None, "At most 3 a minute.", 429, 1500),
                                     Error(Status.UNAUTHENTICATED, "no_key", "credential", "Who are you?", 401),
                                     Error(Status.QUOTA, "c" * 100, "p" * 200, "m" * 1000, 429), ValueError("a bug in the hook")],
                         ids=lambda error: type(error).__name__ + str(getattr(error, "status", "")))
def test_admit_refuses(refusal, fixture_path):
    bills = []

    def admit(request):
        raise refusal

    with llmcall.Engine(fixture_path("llama-dense"), threads=1, admit=admit, usage=bills.append) as engine:
        with pytest.raises(Error) as caught:
            engine.completions.create(prompt=[1, 2, 3])
    error = caught.value
    if isinstance(refusal, Error):
        assert (error.status, error.http_status, error.retry_after_ms) == (refusal.status, refusal.http_status, refusal.retry_after_ms)
        assert refusal.code.startswith(error.code) and refusal.message.startswith(error.message) and error.message
    else:
        assert error.status == Status.INTERNAL
    assert not bills  # what was not admitted is not billed


def test_tenants_share_no_prefixes(model_path):
    tenant = ["a"]

    def admit(request):
        return {"tenant": tenant[0], "cache_salt": ord(tenant[0])}

    with llmcall.Engine(model_path, admit=admit, **SMALL) as engine:
        prompt = list(range(1000, 1064))
        cached = []
        for tenant[0] in "aaba":
            cached.append(engine.completions.create(prompt=prompt, max_tokens=1).usage.prompt_tokens_details.cached_tokens)
    assert cached[0] == 0 and cached[1] >= 48 and cached[2] == 0 and cached[3] >= 48


# ---- Routing ----


def test_route_chooses(fixture_path):
    seen = []

    def route(candidates, model):
        seen.append((candidates, model))
        return next(c["index"] for c in candidates if c["model"] == "second")

    with llmcall.Engine(fixture_path("llama-dense"), threads=1, name="first", price_prompt=5, route=route) as engine:
        engine.load(fixture_path("qwen2-dense"), name="second")
        reply = engine.completions.create(prompt=[1, 2, 3], max_tokens=2, caller={"distance_km": 100})
        assert reply.model == "second" == reply.usage.model
    ((candidates, model),) = seen
    assert model == "" and [c["model"] for c in candidates] == ["first", "second"]
    assert candidates[0]["price_prompt"] == 5 and candidates[0]["network_ns"] > 0 and candidates[0]["kv_free_tokens"] > 0
    assert candidates[0]["context_length"] == 256 and candidates[0]["running"] == 0


def test_without_a_hook_the_name_decides(fixture_path):
    with llmcall.Engine(fixture_path("llama-dense"), threads=1, name="first") as engine:
        engine.load(fixture_path("qwen2-dense"), name="second")
        for name in ("first", "second"):
            assert engine.completions.create(prompt=[1, 2, 3], max_tokens=2, model=name).model == name


@pytest.mark.parametrize("answer,status", [(7, Status.INTERNAL), (-1, Status.INTERNAL), (2**40, Status.ARGUMENT), ("x", Status.ARGUMENT)])
def test_route_is_not_believed(answer, status, fixture_path):
    bills = []
    with llmcall.Engine(fixture_path("llama-dense"), threads=1, route=lambda *_: answer, usage=bills.append) as engine:
        with pytest.raises(Error) as caught:
            engine.completions.create(prompt=[1])
        assert caught.value.status == status
    assert [bill.status for bill in bills] == [status]  # it had been admitted


# ---- Moderation ----


@pytest.fixture(scope="module")
def story(model_path):
    with llmcall.Engine(model_path, **SMALL) as engine:
        return engine.completions.create(**GIVEN).choices[0].text


@pytest.mark.parametrize("stream", [False, True])
def test_moderation_passes_and_replaces(model_path, story, stream):
    def run(moderate):
        with llmcall.Engine(model_path, moderate=moderate, **SMALL) as engine:
            reply = engine.completions.create(**GIVEN, stream=stream)
            return "".join(chunk.choices[0].text for chunk in reply) if stream else reply.choices[0].text

    seen = []
    assert run(lambda text, choice, final: seen.append((text, final))) == story
    assert "".join(text for text, _ in seen) == story and [final for _, final in seen] == [False] * (len(seen) - 1) + [True]
    assert run(lambda text, choice, final: text.upper()) == story.upper()


def test_moderation_stops(model_path, story):
    """Nothing of the piece that was refused, or after it, is seen."""
    said, bills = [], []

    def moderate(text, choice, final):
        said.append(text)
        return False if len("".join(said)) > 30 else None

    with llmcall.Engine(model_path, moderate=moderate, usage=bills.append, **SMALL) as engine:
        (choice,) = engine.completions.create(**{**GIVEN, "max_tokens": 300}).choices
    assert choice.finish_reason == "content_filter" and story.startswith(choice.text) and choice.text == "".join(said[:-1])
    assert bills[0].finish_reason == 3 and bills[0].completion_tokens < 300


@pytest.mark.parametrize("moderate", [lambda *_: 1 / 0, lambda *_: b"\xff", lambda *_: 5], ids=["raises", "not UTF-8", "no text"])
def test_moderation_fails_closed(moderate, model_path):
    with llmcall.Engine(model_path, moderate=moderate, **SMALL) as engine:
        (choice,) = engine.completions.create(**GIVEN).choices
    assert choice.text == "" and choice.finish_reason == "content_filter"


def test_moderation_of_one_choice_of_two(model_path):
    with llmcall.Engine(model_path, moderate=lambda text, choice, final: False if choice == 1 else None, **SMALL) as engine:
        choices = engine.completions.create(**{**GIVEN, "temperature": 1, "n": 2}).choices
    assert [choice.finish_reason for choice in choices] == ["length", "content_filter"] and choices[0].text and not choices[1].text


# ---- The bill ----


def test_one_bill_a_call_whatever_ends_it(model_path):
    bills = []
    with llmcall.Engine(model_path, usage=bills.append, **SMALL) as engine:
        done = engine.completions.create(**GIVEN)
        with pytest.raises(Error):
            engine.completions.create(**{**GIVEN, "max_tokens": 400}, timeout=0.1)
        with pytest.raises(Error):
            engine.completions.create(**GIVEN, model="no such model")
        with pytest.raises(Error):
            engine.completions.create(prompt="word " * 600)
        stream = engine.completions.create(**{**GIVEN, "max_tokens": 400}, stream=True)
        next(stream)
        stream.close()
        cancelled = engine.completions.create(**{**GIVEN, "max_tokens": 400}, stream=True)
        cancelled.cancel()
        list(cancelled)
        engine.score([1, 2, 3])
        dropped = engine.completions.create(**{**GIVEN, "max_tokens": 400}, stream=True)
        next(dropped)
    with pytest.raises(Error):
        list(dropped)
    assert len({bill.call_id for bill in bills}) == len(bills)
    assert collections.Counter(Status(bill.status).name for bill in bills) == {
        "OK": 2, "DEADLINE": 1, "NOT_FOUND": 1, "CONTEXT_LENGTH": 1, "CANCELLED": 2, "CLOSED": 1}
    assert bills[0].call_id == done.usage.call_id and bills[0].completion_tokens == 24 and bills[0].cost_nano == done.usage.cost_nano
    assert all(bill.attempt == 1 for bill in bills)


def test_a_bill_is_offered_until_accepted(model_path):
    offers = []

    def usage(bill):
        offers.append(bill)
        if len(offers) == 2:
            raise OSError("the ledger is away")
        return len(offers) > 3

    with llmcall.Engine(model_path, usage=usage, **SMALL) as engine:
        reply = engine.completions.create(**GIVEN)
        wait_until(lambda: len(offers) == 4 and engine.metrics().usage_pending == 0)
        time.sleep(0.05)
    assert [bill.attempt for bill in offers] == [1, 2, 3, 4]
    assert {bill.call_id for bill in offers} == {reply.usage.call_id} and len({bill.cost_nano for bill in offers}) == 1


def test_a_refused_bill_is_offered_once_more_at_the_end(fixture_path):
    offers = []
    with llmcall.Engine(fixture_path("llama-dense"), threads=0, usage=lambda bill: offers.append(bill) or False) as engine:
        engine.completions.create(prompt=[1, 2, 3], max_tokens=2)
        assert engine.metrics().usage_pending == 1
        before = len(offers)
    assert len(offers) > before


# ---- Spans ----


def test_span_hook(model_path):
    spans = []
    trace = "0af7651916cd43dd8448eb211c80319c"
    with llmcall.Engine(model_path, span=lambda *given: spans.append(given), **SMALL) as engine:
        reply = engine.completions.create(**GIVEN, caller={"trace_id": trace})
    assert {call_id for call_id, _, _ in spans} == {reply.usage.call_id} and {t for _, t, _ in spans} == {trace}
    assert sorted(span.stage for _, _, span in spans) == list(range(1, 15))


def test_a_slow_hook_does_not_stall_others(model_path):
    """A bill that takes long to be delivered keeps nobody waiting but the next bill."""
    with llmcall.Engine(model_path, usage=lambda bill: time.sleep(1), **SMALL) as engine:
        start = time.monotonic()
        for _ in range(5):
            engine.completions.create(prompt="a", max_tokens=1)
        assert time.monotonic() - start < 4


def test_log_and_description(fixture_path):
    with llmcall.Engine(fixture_path("llama-dense"), threads=1, log=lambda level, message: None) as engine:
        info, device = engine.model_info(), engine.device_info()
    assert (info.architecture, info.n_layers, info.vocab_size, info.context_length, info.quantization) == (
        "llama", 2, fixtures.description("llama-dense")["n_vocab"], 256, "F32")
    assert device.name == "cpu" and device.threads == 1 and device.tier in ("c", "avx2", "avxvnni", "avx512", "avx512bf16", "amx")
