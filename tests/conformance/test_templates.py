"""Chat templates give what Python's jinja2 gives, set up as transformers does: the 70 templates of llama.cpp's package over
many conversations. Where it raises, so does the library, and nowhere else."""
import chats
import llmcall
import pytest
import transformers_jinja

N_TEMPLATES = 70
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def render(source, messages, **variables):
    """As transformers_jinja.compiled: (text, None) or (None, why)."""
    try:
        return llmcall.render_template(source, messages, **variables), None
    except llmcall.Error as error:
        assert error.status == llmcall.Status.TEMPLATE and error.param == "chat_template", error
        assert error.code == "template_raised" or error.message.startswith("line "), error
        return None, f"{error.code}: {error.message}"


def test_there_are_enough(vocabularies):
    assert len(list((vocabularies / "templates").glob("*.jinja"))) == N_TEMPLATES and len(chats.CHATS) >= 30


@pytest.mark.parametrize("number", range(N_TEMPLATES))
def test_real_templates_are_jinjas(number, vocabularies):
    path = sorted((vocabularies / "templates").glob("*.jinja"))[number]
    source, served = path.read_text(), 0
    reference = transformers_jinja.compiled(source)
    for name, messages, variables in chats.chats():
        variables.update(TOKENS)
        expected, why = reference(messages=messages, **variables)
        got, failure = render(source, messages, **variables)
        if got != expected and got is not None and expected is not None:  # the clock may have ticked between the two
            expected, why = reference(messages=messages, **variables)
        assert got == expected, f"{path.name}, {name}: {failure} where jinja2 has {why}"
        if why and why.startswith("TemplateError: "):
            assert failure == f"template_raised: {why.removeprefix('TemplateError: ')}", f"{path.name}, {name}"
        served += got is not None
    assert served >= 30, path.name
