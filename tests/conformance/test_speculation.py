"""Prompt look-up speculation on the real model: the same answers, greedy and sampled, and drafts that are right where the
answer repeats its prompt."""
import pytest

import llmcall

TEXT = ("The lighthouse at Cape Merrow was built in 1861, after three ships were lost on the rocks in a single winter. Its "
        "tower is 34 metres high and stands on a base of granite blocks, each of which was cut on the mainland and carried "
        "over by barge.")
REPEAT = [{"role": "user", "content": "Repeat the following text exactly, word for word:\n\n" + TEXT}]


@pytest.fixture(scope="module")
def answer(engine):
    def ask(speculate, messages=REPEAT, **options):
        return engine.chat.completions.create(messages=messages, max_tokens=80, speculate=speculate, **options)
    return ask


def same(a, b):
    assert [c.message.content for c in a.choices] == [c.message.content for c in b.choices]
    assert [c.finish_reason for c in a.choices] == [c.finish_reason for c in b.choices]
    assert [c.logprobs for c in a.choices] == [c.logprobs for c in b.choices]
    for field in ("prompt_tokens", "completion_tokens", "cost_completion_nano"):
        assert getattr(a.usage, field) == getattr(b.usage, field)


@pytest.mark.parametrize("speculate", [1, 4, 15])
def test_greedy_answer_is_the_same_and_drafts_are_right(answer, speculate):
    plain, fast = answer(0, temperature=0), answer(speculate, temperature=0)
    same(plain, fast)
    none, details = plain.usage.completion_tokens_details, fast.usage.completion_tokens_details
    assert none.accepted_prediction_tokens == none.rejected_prediction_tokens == 0
    share = speculate / (1 + speculate)
    assert details.accepted_prediction_tokens > 0.6 * share * fast.usage.completion_tokens
    assert details.accepted_prediction_tokens > details.rejected_prediction_tokens


@pytest.mark.parametrize("options", [
    {"temperature": 0.7, "seed": 3}, {"temperature": 1, "seed": 4, "n": 3, "top_p": 0.9},
    {"temperature": 0.5, "seed": 5, "repetition_penalty": 1.1, "presence_penalty": 0.5},
    {"temperature": 0, "logprobs": True, "top_logprobs": 3}, {"temperature": 0, "stop": [" winter", "ships"]},
], ids=lambda options: "-".join(options))
def test_other_answers_are_the_same(answer, options):
    same(answer(0, **options), answer(15, **options))


def test_drafts_are_found_for_an_unrelated_question_too(answer):
    question = [{"role": "user", "content": "Explain how rain is made."}]
    same(answer(0, question, temperature=0), answer(15, question, temperature=0))


def test_out_of_range(answer):
    with pytest.raises(llmcall.Error) as failure:
        answer(16)
    assert failure.value.status == llmcall.Status.ARGUMENT and failure.value.param == "speculate"
