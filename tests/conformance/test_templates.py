"""Chat templates give what Python's jinja2 gives, set up as transformers does: the 70 templates of llama.cpp's package and those
of its tests over many conversations, its test cases, and small templates of one thing each. Where jinja2 raises, so does the
library, and nowhere else. And whatever a template does, it ends soon."""
import json
import time

import chats
import jinja_grammar
import jinja_snippets
import llama_cases
import llmcall
import packages
import pytest
import transformers_jinja
import vocab_gguf
from llmcall import Status

N_TEMPLATES, N_CASES, N_TEST_TEMPLATES = 70, 300, 28
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
MESSAGES = [{"role": "user", "content": "Hello"}]
WITHIN_S = 0.1  # of the processor's time: where others compute too, the clock says nothing


def render(source, messages, **variables):
    """As transformers_jinja.compiled: (text, None) or (None, why)."""
    try:
        return llmcall.render_template(source, messages, **variables), None
    except llmcall.Error as error:
        assert error.status == Status.TEMPLATE and error.param == "chat_template" and error.http_status == 400, error
        assert error.code == "template_raised" or error.message.startswith("line "), error
        return None, f"{error.code}: {error.message}"


def same_over_chats(name, source):
    """Compares over all conversations; returns how many gave a prompt."""
    reference, served = transformers_jinja.compiled(source), 0
    for chat, messages, variables in chats.chats():
        variables.update(TOKENS)
        expected, why = reference(messages=messages, **variables)
        got, failure = render(source, messages, **variables)
        if got != expected and got is not None and expected is not None:  # the clock may have ticked between the two
            expected, why = reference(messages=messages, **variables)
        assert got == expected, f"{name}, {chat}: {failure} where jinja2 has {why}"
        if why and why.startswith("TemplateError: "):
            assert failure == f"template_raised: {why.removeprefix('TemplateError: ')}", f"{name}, {chat}"
        served += got is not None
    return served


def test_there_are_enough(vocabularies):
    assert len(list((vocabularies / "templates").glob("*.jinja"))) == N_TEMPLATES and len(chats.CHATS) >= 50


@pytest.mark.parametrize("number", range(N_TEMPLATES))
def test_real_templates_are_jinjas(number, vocabularies):
    path = sorted((vocabularies / "templates").glob("*.jinja"))[number]
    assert same_over_chats(path.name, path.read_text()) >= 30, path.name


def test_templates_of_llama_cpps_tests_are_jinjas():
    templates = list(llama_cases.chat_templates(packages.llama_tests()))
    assert len(templates) >= N_TEST_TEMPLATES
    served = [same_over_chats(name, source) for name, source in templates]
    assert sum(n >= 30 for n in served) > N_TEST_TEMPLATES - 5  # some need variables that only their models' code has


def test_cases_of_llama_cpps_tests_are_jinjas():
    cases = list(llama_cases.jinja_cases(packages.llama_tests()))
    assert len(cases) >= N_CASES
    for name, source, variables in cases:
        expected, why = transformers_jinja.compiled(source)(**{"messages": [], **variables})
        got, failure = render(source, **{"messages": [], **variables})
        assert got == expected, f"{name}: {failure} where jinja2 has {why}"


@pytest.mark.parametrize("group", jinja_snippets.GROUPS)
def test_small_templates_are_jinjas(group):
    for name, source in jinja_snippets.snippets(group):
        variables = {"messages": [], "tools": None, "add_generation_prompt": True, **jinja_snippets.VARIABLES}
        expected, why = transformers_jinja.compiled(source)(**variables)
        got, failure = render(source, **variables)
        assert got == expected, f"{name}, {source}: {failure} where jinja2 has {why}"


@pytest.mark.slow
def test_everything_on_every_kind_of_value_is_jinjas():
    """Or is refused: what prints an address in memory, and numbers that are complex."""
    variables, wrong = {"messages": [], "tools": None, "add_generation_prompt": True, **jinja_snippets.VARIABLES}, []
    for source in jinja_snippets.combinations():
        expected, why = transformers_jinja.compiled(source)(**variables)
        got, failure = render(source, **variables)
        refused = got is None and ("cannot be printed" in failure or "has no real value" in failure)
        if got != expected and not refused:
            wrong.append(f"{source}: {got!r} ({failure}) where jinja2 has {expected!r} ({why})")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("first, count", [(0, 600), pytest.param(10_000, 10_000, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_random_templates_are_jinjas(first, count):
    """Or are refused: what prints an address in memory, complex numbers, integers of more than 64 bits, and a few that nobody writes."""
    variables, given, refusals = {"messages": [], **jinja_snippets.VARIABLES}, 0, 0
    for seed in range(first, first + count):
        source = jinja_grammar.Grammar(seed).source()
        expected, why = transformers_jinja.compiled(source)(**variables)
        got, failure = render(source, **variables)
        refused = got is None and expected is not None and any(reason in failure for reason in jinja_grammar.REFUSALS)
        assert got == expected or refused or (why or "").startswith(jinja_grammar.MISTAKES), (
            f"seed {seed}: {source!r} gives {got!r} ({failure}) where jinja2 has {expected!r} ({why})")
        given, refusals = given + (expected is not None), refusals + refused
    assert given > count / 3 and refusals < count / 50


@pytest.mark.parametrize("source", jinja_snippets.REFUSED.strip().split("\n"))
def test_what_is_not_known_is_refused(source):
    got, failure = render(source, [], **jinja_snippets.VARIABLES)
    assert got is None and "line 1: " in failure


# ---- The functions ----


def test_defaults_of_render_template():
    source = "{{ messages[0].content }}{{ tools is none }}{{ add_generation_prompt }}[{{ bos_token }}{{ eos_token }}]{{ x is defined }}"
    assert llmcall.render_template(source, MESSAGES) == "HelloTrueTrue[]False"
    assert llmcall.render_template(source, MESSAGES, [1], False, "<s>", "</s>", x=None) == "HelloFalseFalse[<s></s>]True"
    big = "ä" * 100_000
    assert llmcall.render_template("{{ messages[0].content }}", [{"content": big}]) == big


@pytest.mark.parametrize("source,line,says", [
    ("a\n\n{{ x|foo }}", 3, "unknown filter 'foo'"), ("{% if x %}\n", 1, "ends before"), ("{{ 1 +", 1, "without an end"),
    ("\n{% include 'x' %}", 2, "unknown tag 'include'"), ("x\n{{ a.b }}", 2, "'a' is undefined"), ("{{ 1 / 0 }}", 1, "division"),
    ("{% for m in messages %}\n{{ m.content + 1 }}\n{% endfor %}", 2, "unsupported operand"), ("{{ [].append(1) }}", 1, "unsafe")])
def test_errors_have_line_and_construct(source, line, says):
    with pytest.raises(llmcall.Error) as caught:
        llmcall.render_template(source, MESSAGES)
    error = caught.value
    assert (error.status, error.param, error.code) == (Status.TEMPLATE, "chat_template", "template_error")
    assert error.message.startswith(f"line {line}: ") and says in error.message


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("arguments,status,param", [
    (dict(template=5, messages=[]), Status.ARGUMENT, "template"), (dict(template="\ud800", messages=[]), Status.UTF8, "chat_template"),
    (dict(template="", messages=object()), Status.ARGUMENT, "messages"), (dict(template="", messages=[], x={1, 2}), Status.ARGUMENT, "x"),
    (dict(template="", messages=[], x=float("nan")), Status.ARGUMENT, "x"), (dict(template="", messages=["\ud800"]), Status.UTF8, "variables"),
    (dict(template="", messages=[], x=2**64), Status.ARGUMENT, "variables"), (dict(template="", messages=[], x={"a\0b": 1}), Status.ARGUMENT, "variables"),
    (dict(template="", messages=nested(64)), Status.ARGUMENT, "variables"), (dict(template="", messages=[0] * 500_001), Status.ARGUMENT, "variables"),
    (dict(template="", messages="x" * (16 << 20)), Status.ARGUMENT, "variables"), (dict(template="x" * (1 << 20 | 1), messages=[]), Status.TEMPLATE, "chat_template"),
])
def test_bad_arguments(arguments, status, param):
    with pytest.raises(llmcall.Error) as caught:
        llmcall.render_template(**arguments)
    assert caught.value.status == status and caught.value.param == param


def test_arguments_at_their_limits():
    assert llmcall.render_template("{{ messages|string|length }}", nested(63)) == str(2 * 63 + 1)
    assert llmcall.render_template("{{ messages|length }}", [0] * 499_990) == "499990"
    size = (16 << 20) - 200
    assert llmcall.render_template("{{ messages|length }}", "x" * size) == str(size)
    assert len(llmcall.render_template("x" * (1 << 20), [])) == 1 << 20


def test_the_models_own_template_takes_whole_messages(engine, model_header):
    reference = transformers_jinja.compiled(vocab_gguf.read_value(model_header, "tokenizer.chat_template").decode())
    info = engine.model_info()
    tokens = {name: engine.detokenize([token], special=True).decode()
              for name, token in (("bos_token", info.bos_token), ("eos_token", info.eos_token))}
    served = 0
    for name, messages, variables in chats.chats():
        expected, why = reference(messages=messages, documents=variables.pop("documents", None), **tokens, **variables)
        try:
            assert engine.apply_template(messages, **variables) == expected, name
            served += 1
        except llmcall.Error as error:
            refused = error.status == Status.UNSUPPORTED and "content[" in error.param or not messages and error.param == "messages"
            assert refused or expected is None and error.status == Status.TEMPLATE, f"{name}: {error} where jinja2 has {why}"
    assert served > 100


def test_every_variable_reaches_the_models_template(vocabularies):
    source = "{{ messages|tojson }}{{ tools|tojson }}{{ documents|tojson }}{{ add_generation_prompt }}{{ x|tojson }}"
    chat, more = chats.CHATS["two calls"]
    with llmcall.Engine(vocabularies / "ggml-vocab-gpt-2.gguf", threads=0, vocab_only=True, chat_template=source) as engine:
        got = engine.apply_template(chat, more["tools"], False, documents=chats.DOCUMENTS, x=[1, 2.5, None, "ü"])
        text = [json.dumps(value, ensure_ascii=False) for value in (chat, more["tools"], chats.DOCUMENTS, [1, 2.5, None, "ü"])]
        assert got == f"{text[0]}{text[1]}{text[2]}False{text[3]}"
        assert engine.apply_template(MESSAGES, x=0).endswith("nullnullTrue0")
        for messages, status, param in (([], Status.ARGUMENT, "messages"), ("Hi", Status.ARGUMENT, "messages"), ([5], Status.ARGUMENT, "messages[0]"),
                                        ([{"role": "user", "content": chats.IMAGE}], Status.UNSUPPORTED, "messages[0].content[0]")):
            with pytest.raises(llmcall.Error) as caught:
                engine.apply_template(messages)
            assert caught.value.status == status and caught.value.param == param


def test_a_model_without_a_template_says_what_to_do(vocabularies):
    with llmcall.Engine(vocabularies / "ggml-vocab-gpt-2.gguf", threads=0, vocab_only=True) as engine:
        for ask in (engine.apply_template, engine.count_tokens):
            with pytest.raises(llmcall.Error) as caught:
                ask(MESSAGES)
            assert caught.value.status == Status.TEMPLATE and caught.value.code == "no_chat_template"
            assert "load it with one, or send a prompt" in caught.value.message


# ---- Bombs ----

LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}"
ENDS = "{% endfor %}{% endfor %}"
BOMBS = {
    "loops": LOOP + ENDS, "printing loops": LOOP + "{{ i * j }}" + ENDS, "long text": "{{ 'x' * 99999999999 }}",
    "large text": "{{ 'x' * 60000000 }}", "large texts": LOOP + "{% set x = 'x' * 60000000 %}" + ENDS, "large lists": LOOP + "{% set x = [1] * 3000000 %}" + ENDS,
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "branching recursion": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(80) }}",
    "recursive loop": "{% for n in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    "concat": "{% set n = namespace(s='') %}" + LOOP + "{% set n.s = n.s ~ 'xxxxxxxxxxxx' %}" + ENDS,
    "concat in front": "{% set n = namespace(s='') %}" + LOOP + "{% set n.s = 'ab' + n.s %}" + ENDS,
    "doubling": "{% set n = namespace(s='xxxxxxxx') %}" + LOOP + "{% set n.s = n.s + n.s %}" + ENDS,
    "list concat": "{% set n = namespace(s=[1]) %}" + LOOP + "{% set n.s = n.s + [1] %}" + ENDS,
    "replace": "{% set s = 'a' * 1000000 %}" + LOOP + "{% set x = s.replace('a', 'bb') %}" + ENDS,
    "large replace": "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
    "replace of nothing": "{% set s = 'a' * 3000000 %}" + LOOP + "{% set x = s.replace(('a' * 1000) ~ 'b', 'b') %}" + ENDS,
    "find": "{% set s = 'a' * 10000000 %}{% set y = 'a' * 5000000 ~ 'b' %}" + LOOP + "{{ s.find(y) }}" + ENDS,
    "rfind": "{% set s = 'a' * 10000000 %}{% set y = 'b' ~ 'a' * 5000000 %}" + LOOP + "{{ s.rfind(y) }}" + ENDS,
    "in": "{% set s = 'a' * 10000000 %}{% set y = 'a' * 5000000 ~ 'b' %}" + LOOP + "{{ y in s }}" + ENDS,
    "join": "{{ range(100000)|join('x' * 100000) }}", "join method": "{{ ('x' * 100000).join(['a'] * 100000) }}",
    "percent width": "{{ '%999999999d' % 1 }}", "percent star": "{{ '%*d' % (999999999, 1) }}", "format width": "{{ '{:>999999999}'.format(1) }}",
    "precision": "{{ '%.999999999f' % 1 }}", "center": "{{ 'x'|center(999999999) }}", "zfill": "{{ 'x'.zfill(999999999) }}",
    "expandtabs": "{{ '\t'.expandtabs(999999999) }}", "indent": "{{ ('\n' * 1000000)|indent(100000, blank=true) }}",
    "power": "{{ 10 ** 1000000 }}", "batch": "{{ [1]|batch(999999999, 'x')|list }}",
    "slice": "{{ [1]|slice(999999999)|list }}", "sort": "{% set l = range(100000)|list %}" + LOOP + "{% set x = l|sort %}" + ENDS,
    "sort of long texts": "{% set a = 'x' * 100000 %}{% set l = [a] * 10000 %}{{ l|sort|length }}" + LOOP + ENDS,
    "unique": "{{ range(100000)|unique|list|length }}", "groupby": "{% set l = [{'a': 1}] * 100000 %}" + LOOP + "{% set x = l|groupby('a') %}" + ENDS,
    "map": "{% set l = range(100000)|list %}" + LOOP + "{% set x = l|map('string')|map('upper')|list %}" + ENDS,
    "json": "{% set l = [[1] * 1000] * 1000 %}{{ ([l] * 100)|tojson }}", "json indent": "{{ [[1] * 1000]|tojson(indent=1000000) }}",
    "repr": "{% set l = [[1] * 1000] * 1000 %}{{ [l] * 1000 }}",
    "shared repr": "{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}",
    "shared json": "{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l|tojson }}",
    "shared equal": "{% set n = namespace(l=[1], m=[1]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% set n.m = [n.m, n.m] %}{% endfor %}{{ n.l == n.m }}",
    "shared keys": "{% set n = namespace(l=(1,)) %}{% for i in range(60) %}{% set n.l = (n.l, n.l) %}{% endfor %}{{ {n.l: 1} }}",
    "equal lists": "{% set l = [1] * 1000000 %}{% set m = [1] * 1000000 %}" + LOOP + "{{ l == m }}" + ENDS,
    "equal texts": "{% set s = 'a' * 10000000 %}{% set t = 'a' * 10000000 %}" + LOOP + "{{ s == t }}{{ s < t }}" + ENDS,
    "long keys": "{% set t = 'a' * 1000000 %}{% set d = {t: 1} %}" + LOOP + "{{ d[t] }}" + ENDS,
    "dicts": "{% set n = namespace(d={}) %}" + LOOP + "{% set n.d = dict(n.d, **{j|string: i}) %}" + ENDS,
    "scopes": "{% macro f(n) %}{% set a = 1 %}{{ x }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}" + LOOP + "{{ f(60) }}" + ENDS,
    "upper": "{% set s = 'é' * 5000000 %}" + LOOP + "{% set x = s|upper %}" + ENDS, "title": "{% set s = 'a b ' * 1000000 %}" + LOOP + "{% set x = s|title %}" + ENDS,
    "trim": "{% set s = ' ' * 10000000 %}" + LOOP + "{% set x = s|trim %}" + ENDS,
    "strip": "{% set s = 'ab' * 100000 %}{% set c = 'xyz' * 100000 ~ 'ab' %}" + LOOP + "{% set x = s.strip(c) %}" + ENDS,
    "characters": "{% set s = 'ab' * 1000000 %}{% for c in s %}{{ s[loop.index] }}{% endfor %}",
    "slices": "{% set s = 'a' * 10000000 %}" + LOOP + "{{ s[5000000] }}{{ s[-2:] }}{{ s[::-1]|length }}" + ENDS,
    "splitlines": "{% set s = 'a\n' * 1000000 %}" + LOOP + "{% set x = s.splitlines() %}" + ENDS,
    "split": "{% set s = 'a ' * 1000000 %}" + LOOP + "{% set x = s.split() %}" + ENDS,
    "output": LOOP + "{{ 'x' * 1000 }}" + ENDS, "capture": "{% set x %}" + LOOP + "{{ 'x' * 1000 }}" + ENDS + "{% endset %}",
    "arguments": "{% macro f() %}{{ varargs|length }}{% endmacro %}{% set l = range(100000)|list %}" + LOOP + "{{ f(*l) }}" + ENDS,
    "escape": "{% set s = '<' * 1000000 %}" + LOOP + "{% set x = s|e %}" + ENDS, "xml": "{% set s = 'é ' * 1000000 %}" + LOOP + "{% set x = s|urlencode %}" + ENDS,
    "words": "{% set s = 'é ' * 1000000 %}" + LOOP + "{% set x = s|wordcount %}" + ENDS, "format": "{% set s = '{0}' * 1000000 %}" + LOOP + "{% set x = s.format(1.1) %}" + ENDS,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_soon_with_an_error(name):
    fastest = 1e9
    for _ in range(4):
        start = time.thread_time()
        got, failure = render(BOMBS[name], [])
        fastest = min(fastest, time.thread_time() - start)
        assert got is None and failure.startswith("template_error: line "), failure
        if fastest < WITHIN_S:
            break
    assert fastest < WITHIN_S, f"{fastest:.3f} s: {failure}"
