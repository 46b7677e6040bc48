/* Templates: what they print, how they fail (with the line), and that every budget holds, on a small stack and short of memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "failing_alloc.h"
#include "template/json.h"
#include "template/template.h"
#include "template/value.h"

#if defined(__SANITIZE_ADDRESS__)
#define SMALL_STACK ((size_t)2048 << 10) /* sanitizers make frames many times larger */
#else
#define SMALL_STACK ((size_t)256 << 10)
#endif

static const llmc_template_message MESSAGES[] = {
    {"system", 6, "S", 1}, {"user", 4, "h\xC3\xA9 \"q\"\n", 8}, {"assistant", 9, "", 0}};

static llmcall_status render(const llmc_env *env, const char *source, size_t max, llmc_buffer *out, llmcall_error *error) {
    llmc_template *compiled = NULL;
    llmc_template_input input = {MESSAGES, 3, 1, "<s>", NULL, 1717171717};
    llmc_buffer_init(out, env, max);
    llmcall_status status = llmc_template_compile(env, source, strlen(source), &compiled, error);
    if (status == LLMCALL_OK) status = llmc_template_render(compiled, &input, out, error);
    llmc_template_destroy(&compiled);
    return status;
}

typedef struct expectation {
    const char *source;
    const char *result; /* the text, or the error's message */
} expectation;

/* What Python's jinja2 prints for them. */
static const expectation PRINTS[] = {
    {"a\n", "a"},
    {"a\r\nb\n\n", "a\nb\n"},
    {"  {% if true %}\n x\n  {% endif %}\ny", " x\ny"},
    {"a  {%- if true -%}  b  {%+ endif +%}\n c", "ab  \n c"},
    {"a {#- note -#} b{# {{ x #}\nc", "abc"},
    {"{% raw %}{{ a }}{% endraw %}", "{{ a }}"},
    {"{{ 1 }}{{ 1.0 }}{{ 1e20 }}{{ 0.1 + 0.2 }}{{ 1.5e-7 }}", "11.01e+200.300000000000000041.5e-07"},
    {"{{ true }}{{ none }}{{ nothing }}{{ [1, 'a', \"it's\", none] }}{{ (1,) }}{{ {'a': 1.5} }}",
     "TrueNone[1, 'a', \"it's\", None](1,){'a': 1.5}"},
    {"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}", "3 -4 2 3.5 64 4"},
    {"{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 'a' in 'abc' }}{{ 4 not in [1, 2] }}{{ not 1 == 2 }}", "TrueFalseTrueTrueTrue"},
    {"{{ 'x' ~ 1 ~ none }}{{ 'a' 'b' }}{{ 'ab' * 2 }}{{ [1] + [2] }}", "x1Noneababab[1, 2]"},
    {"{{ 'h\\u00e9llo'[1:3] }}{{ 'h\xC3\xA9llo'[-1] }}{{ 'abc'[::-1] }}{{ 'h\xC3\xA9'|length }}{{ [1, 2, 3][1:] }}",
     "\xC3\xA9loc"
     "ba2[2, 3]"},
    {"{{ 'a' if true else 'b' }}{{ 'a' if false }}{{ x|default('d') }}{{ ''|d('e', true) }}", "ade"},
    {"{% for m in messages %}{{ loop.index }}{{ m.role[0] }}{{ loop.last }}{{ m['content'] | trim }};{% endfor %}",
     "1sFalseS;2uFalseh\xC3\xA9 \"q\";3aTrue;"},
    {"{% for a, b in {'x': 1, 'y': 2}.items() if b > 1 %}{{ a }}{{ loop.length }}{% else %}none{% endfor %}", "y1"},
    {"{% for i in [] %}{% else %}none{% endfor %}{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}"
     "{% break %}{% endif %}{{ i }}{% endfor %}",
     "none02"},
    {"{% for n in [[1, [2]]] recursive %}{{ n if n is number else '(' ~ loop(n) ~ ')' }}{% endfor %}", "(1(2))"},
    {"{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{{ loop.cycle('a', 'b') }}{{ loop.previtem }}{% endfor %}",
     "TrueaFalseb1Truea1"},
    {"{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}{% set ns = namespace(a=1) %}{% for i in [5] %}"
     "{% set ns.a = i %}{% endfor %}{{ ns.a }}",
     "15"},
    {"{% set a, b = 1, 2 %}{{ a + b }}{% set t | upper %}x{{ a }}{% endset %}{{ t }}", "3X1"},
    {"{% macro f(a, b=2) %}{{ a }}{{ b }}{{ caller() if caller }}{% endmacro %}{{ f(1) }}{{ f(b=3, a=4) }}{% call f(5) %}c{% "
     "endcall %}",
     "124352c"},
    {"{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "3210"},
    {"{% filter upper %}a{% endfilter %}{% generation %}g{% endgeneration %}{% with q = 1 %}{{ q }}{% endwith %}{{ q }}",
     "Ag1"},
    {"{{ {'b': [1, 'x\"\xC3\xA9\\n<'], 'a': none}|tojson }}", "{\"b\": [1, \"x\\\"\xC3\xA9\\n<\"], \"a\": null}"},
    {"{{ {'b': [1], 'a': {}}|tojson(indent=2) }}", "{\n  \"b\": [\n    1\n  ],\n  \"a\": {}\n}"},
    {"{{ [3, 1, 2]|sort|join(',') }}{{ ['b', 'A']|sort|join }}{{ {'b': 1, 'a': 2}|dictsort }}", "1,2,3Ab[('a', 2), ('b', 1)]"},
    {"{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='role')|list }}{{ [1, 2]|map('string')|list }}",
     "['user']['1', '2']"},
    {"{{ [1, 2, 3, 4]|select('even')|list }}{{ [0, 1]|reject|list }}{{ [1, 1]|unique|list }}{{ [1, 2]|sum }}{{ [2, 1]|min }}",
     "[2, 4][0][1]31"},
    {"{{ 'a b'.split() }}{{ 'a,b,c'.split(',', 1)[1] }}{{ 'x'.startswith(('y', 'x')) }}{{ ' a '.strip() }}{{ "
     "'a-b'.replace('-', '+') }}",
     "['a', 'b']b,cTruea"
     "a+b"},
    {"{{ 'hello world'|title }}{{ 'HELLO'|capitalize }}{{ 'a\\nb'|indent(2) }}{{ '{} {x}'.format(1, x=2) }}{{ '%s=%d' % ('a', "
     "3) }}",
     "Hello WorldHelloa\n  b1 2a=3"},
    {"{{ 5 is odd }}{{ 4 is divisibleby 2 }}{{ x is not defined }}{{ {} is mapping }}{{ 'a' is sequence }}{{ 1.0 is integer }}",
     "TrueTrueTrueTrueTrueFalse"},
    {"{{ strftime_now('%d %b %Y %H:%M') }}{{ bos_token }}{{ add_generation_prompt }}", "31 May 2024 16:08<s>True"},
    {"{% if false %}{{ 1|nosuch }}{% endif %}ok", "ok"},
    {"{{ 'a' if true else 1|nosuch }}{{ 'b' if true or 1 is nosuch }}{{ 1|nosuch if false }}", "ab"},
};

static void test_prints(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    for (size_t i = 0; i < sizeof PRINTS / sizeof *PRINTS; i++) {
        llmc_buffer out;
        LLMCALL_INIT(llmcall_error, error);
        llmcall_status status = render(&env, PRINTS[i].source, 1 << 16, &out, &error);
        if (status != LLMCALL_OK) fail_msg("%s: %s", PRINTS[i].source, error.message);
        assert_string_equal(out.data ? out.data : "", PRINTS[i].result);
        llmc_buffer_free(&out);
    }
}

static const expectation FAILURES[] = {
    {"a\n\n{{ x|foo }}", "line 3: unknown filter 'foo'"},
    {"{{ x is foo }}", "line 1: unknown test 'foo'"},
    {"\n{% include 'x' %}", "line 2: unknown tag 'include'"},
    {"{% if true %}\n{{ 1|nosuch }}{% endif %}", "line 2: unknown filter 'nosuch'"},
    {"\n{{ 'a' if 1|nosuch else 'b' }}", "line 2: unknown filter 'nosuch'"},
    {"\n{{ 'a' if false else 1 is nosuch }}", "line 2: unknown test 'nosuch'"},
    {"{{ 1|nosuch if true }}", "line 1: unknown filter 'nosuch'"},
    {"{% if false %}{% for x in 'a' %}{{ x|nosuch }}{% endfor %}{% endif %}", "line 1: unknown filter 'nosuch'"},
    {"{% if x %}\n", "line 1: the template ends before 'elif'"},
    {"{{ 'abc }}", "line 1: string without an end"},
    {"{{ (1] }}", "line 1: closing bracket without its opening one"},
    {"{# a", "line 1: comment without an end"},
    {"{{ 1 +", "line 1: tag without an end"},
    {"{{ 1 2 }}", "line 1: expected '}}', found '2'"},
    {"{% break %}", "line 1: 'break' outside a for block"},
    {"x\n{{ a.b }}", "line 2: 'a' is undefined"},
    {"{{ messages[0].b.c }}", "line 1: 'dict object' has no attribute 'b'"},
    {"{{ 1 // 0 }}", "line 1: division by zero"},
    {"{{ 9223372036854775807 + 1 }}", "line 1: integer overflow"},
    {"{{ 9223372036854775808 }}", "line 1: expected an integer of 64 bits, found '9223372036854775808'"},
    {"{{ messages.append(1) }}", "line 1: access to attribute 'append' of 'list' object is unsafe"},
    {"\n{{ raise_exception('no \"such\" role') }}", "no \"such\" role"},
    {"{{ range(100001) }}", "line 1: range() of more than 100000 items"},
    {"{{ 'x' * 99999999999 }}", "line 1: the template needs more than 67108864 bytes of values"},
    {"{{ [1] * 99999999999 }}", "line 1: a list is repeated too often"},
    {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "line 1: evaluation is nested deeper than 384"},
    {"{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
     "line 1: the template takes more than 2000000 steps"},
    {"{% set n = namespace(s='xxxxxxxx') %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
     "line 1: the template needs more than 67108864 bytes of values"},
    {"{% for i in range(99) %}{{ 'x' * 9999 }}{% endfor %}", "line 1: the prompt exceeds 65536 bytes"},
};

static void test_failures(void **state) {
    (void)state;
    llmc_env env;
    failing_alloc alloc;
    failing_alloc_init(&alloc, &env);
    for (size_t i = 0; i < sizeof FAILURES / sizeof *FAILURES; i++) {
        llmc_buffer out;
        LLMCALL_INIT(llmcall_error, error);
        llmcall_status status = render(&env, FAILURES[i].source, 1 << 16, &out, &error);
        assert_string_equal(error.message, FAILURES[i].result);
        assert_int_equal(status, LLMCALL_E_TEMPLATE);
        assert_string_equal(error.param, "chat_template");
        assert_int_equal(strcmp(error.code, "template_raised") == 0, strncmp(error.message, "line", 4) != 0);
        llmc_buffer_free(&out);
        assert_int_equal(alloc.live, 0);
    }
}

static void test_bad_bytes(void **state) {
    (void)state;
    llmc_env env;
    llmc_template *compiled = NULL;
    llmc_env_init(&env, NULL);
    assert_int_equal(llmc_template_compile(&env, "a\xFF", 2, &compiled, NULL), LLMCALL_E_UTF8);
    char *large = calloc(1, LLMC_TEMPLATE_MAX_SOURCE + 1);
    memset(large, 'x', LLMC_TEMPLATE_MAX_SOURCE + 1);
    assert_int_equal(llmc_template_compile(&env, large, LLMC_TEMPLATE_MAX_SOURCE + 1, &compiled, NULL), LLMCALL_E_TEMPLATE);
    assert_int_equal(llmc_template_compile(&env, large, LLMC_TEMPLATE_MAX_SOURCE, &compiled, NULL), LLMCALL_OK);
    llmc_template_destroy(&compiled);
    free(large);
}

/* open n times, then middle, then close n times. */
static char *nested(const char *open, const char *middle, const char *close, int n) {
    char *text = calloc(1, (strlen(open) + strlen(close)) * (size_t)n + strlen(middle) + 1);
    for (int i = 0; i < n; i++) strcat(text, open);
    strcat(text, middle);
    for (int i = 0; i < n; i++) strcat(text, close);
    return text;
}

static void *run_nested(void *failed) {
    static const struct {
        const char *before, *open, *middle, *close, *after;
        int cap;
    } CASES[] = {
        {"", "{% if true %}", "x", "{% endif %}", "", 63},
        {"{{", "(", "1", ")", "}}", 62},
        {"{{", "[", "1", "]", "}}", 62},
        {"{{", "not ", "1", "", "}}", 62},
        {"{{ ", "-", "1", "", "}}", 62},
        {"{{", "1 or 2 + x * y ~ a|default(", "1", ")", "}}", 62},
        {"{% macro f(a=(1 is eq(1|default([2][f()])))) %}", "", "", "", "{% endmacro %}{{ f() }}", -1},
        {"{% macro f() %}{% for i in [1] %}{% call f() %}{% endcall %}{% endfor %}", "", "", "", "{% endmacro %}{{ f() }}", -1},
        {"{% macro f(a) %}{{ f(", "[1 or 1 == a if ", "f(a)", " else 2]", ") }}{% endmacro %}{{ f(1) }}", -20},
        {"{% macro f() %}{{ ('{:>{}}'|safe).format([f()]|map('title')|join, 3.5|round(2)) }}", "", "", "",
         "{% endmacro %}{{ f() }}", -1},
        {"{% for i in [1] recursive %}{{ '%*.*f' % (loop([i]), 2, 1) }}", "", "", "", "{% endfor %}", -1},
        {"{% set n = namespace(x=1) %}", "{% set n.x = [n.x] %}", "{{ n.x|tojson }}{{ n.x|string == n.x|string }}", "", "", 64},
        {"{% set n = namespace(x=1) %}", "{% set n.x = {'a': n.x} %}", "{{ n.x }}", "", "", 64},
        {"{% set n = namespace(x=1) %}", "{% set n.x = (n.x,) %}", "{{ {n.x: 1}[n.x] }}", "", "", 63}};
    llmc_env env;
    llmc_env_init(&env, NULL);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        int cap = CASES[i].cap < 0 ? -CASES[i].cap : CASES[i].cap;
        for (int n = cap; n <= cap + 1; n++) {
            char *inner = nested(CASES[i].open, CASES[i].middle, CASES[i].close, n);
            char *source = calloc(1, strlen(inner) + 200);
            llmc_buffer out;
            LLMCALL_INIT(llmcall_error, error);
            if (!source) abort();
            sprintf(source, "%s%s%s", CASES[i].before, inner, CASES[i].after);
            llmcall_status status = render(&env, source, 1 << 16, &out, &error);
            int wanted = CASES[i].cap < 0 || n > cap ? LLMCALL_E_TEMPLATE : LLMCALL_OK;
            if (status != wanted) sprintf(failed, "case %zu at %d: %d %.100s", i, n, status, error.message);
            llmc_buffer_free(&out);
            free(source);
            free(inner);
        }
    }
    return NULL;
}

static void on_a_small_stack(void *(*run)(void *)) {
    pthread_t thread;
    pthread_attr_t attributes;
    char failed[200] = "";
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, SMALL_STACK), 0);
    assert_int_equal(pthread_create(&thread, &attributes, run, failed), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    assert_string_equal(failed, "");
}

static void test_nesting_on_a_small_stack(void **state) {
    (void)state;
    on_a_small_stack(run_nested);
}

static const char EVERYTHING[] =
    "{% macro f(a, b=2) %}{{ a ~ b ~ kwargs }}{{ caller() if caller }}{% endmacro %}{% set ns = namespace(x=[]) %}"
    "{% for m in messages if m.role != 'q' %}{% set ns.x = ns.x + [m.content|upper] %}{{ f(m.role, c=1) }}{% endfor %}"
    "{% call f(1) %}{{ ns.x|tojson(indent=2) }}{% endcall %}{% filter trim %} {{ 'a b c'.split()|sort|join('-') }} {% "
    "endfilter %}"
    "{{ {'a': 1, 'b': 2, 'c': 3, 'd': 4, 'e': 5, 'f': 6, 'g': 7, 'h': 8, 'i': 9}|dictsort(reverse=true) }}{{ 'abc'[::-1] }}"
    "{{ 'x' * 100000 }}{% set z %}{{ range(10)|map('string')|list }}{% endset %}{{ z|replace(',', ';') }}";

static void test_failing_allocations(void **state) {
    (void)state;
    llmc_env env;
    failing_alloc alloc;
    failing_alloc_init(&alloc, &env);
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        llmcall_status status = LLMCALL_E_NO_MEMORY;
        for (long n = 1; status != LLMCALL_OK && n < 10000; n++) {
            llmc_buffer out;
            LLMCALL_INIT(llmcall_error, error);
            alloc.fail_at = n;
            alloc.for_ever = for_ever;
            alloc.count = 0;
            status = render(&env, EVERYTHING, 1 << 20, &out, &error);
            llmc_buffer_free(&out);
            assert_int_equal(alloc.live, 0);
            if (status != LLMCALL_OK && status != LLMCALL_E_NO_MEMORY) fail_msg("%ld: %s", n, error.message);
        }
        assert_int_equal(status, LLMCALL_OK);
    }
}

static void test_mutations(void **state) {
    (void)state;
    static const char BYTES[] = "{}%#()[]|.,'\"-~ 0x\n";
    llmc_env env;
    failing_alloc alloc;
    failing_alloc_init(&alloc, &env);
    char source[512];
    size_t size = 400;
    for (size_t at = 0; at < size; at++) {
        for (size_t b = 0; b < sizeof BYTES; b += 3) {
            llmc_buffer out;
            memcpy(source, EVERYTHING, size);
            source[size] = 0;
            source[at] = BYTES[(b + at) % (sizeof BYTES - 1)];
            if (b == 0) source[at] = 0;
            render(&env, source, 1 << 16, &out, NULL);
            llmc_buffer_free(&out);
        }
    }
    assert_int_equal(alloc.live, 0);
}

/* ---- Budgets ----------------------------------------------------------------------------------------------------------- */

/* Status of a template with n in it. */
static llmcall_status render_n(const llmc_env *env, const char *format, unsigned n, size_t max, llmcall_error *error) {
    char source[400];
    llmc_buffer out;
    llmcall_init(error, sizeof *error);
    snprintf(source, sizeof source, format, n);
    llmcall_status status = render(env, source, max, &out, error);
    llmc_buffer_free(&out);
    return status;
}

/* Each passes up to some n, and from the next one on fails with this sentence; where the cap is a number of the template's own,
 * it is that n. */
static void *run_to_caps(void *failed) {
    static const struct {
        const char *format, *says;
        unsigned low, high, cap;
    } ROWS[] = {
        {"{%% for i in range(1000) %%}{%% for j in range(%u) %%}{{ i }}{%% endfor %%}{%% endfor %%}", "2000000 steps", 1, 9999,
         0},
        {"{%% for i in range(%u) %%}{%% endfor %%}", "range() of more than 100000 items", 1, 200000, LLMC_TEMPLATE_MAX_RANGE},
        {"{{ ('x' * %u)|length }}", "2000000 steps", 1, 99999999, 0},
        {"{%% set a = 'x' * %u %%}{%% set b = a + a %%}{%% set c = b + b %%}", "67108864 bytes", 1, 99999999, 0},
        {"{{ ('x' * 1000 ~ 'y') * %u }}", "prompt exceeds 1048576 bytes", 1, 99999, (1 << 20) / 1001},
        {"{%% macro f(n) %%}{%% if n %%}{{ f(n - 1) }}{%% endif %%}{%% endmacro %%}{{ f(%u) }}", "nested deeper than 384", 1,
         999, 0},
        {"{{ '%%.*f'|format(%u, 0.5)|length }}", "precision of more than 5000", 1, 99999, 5000}};
    llmc_env env;
    llmc_env_init(&env, NULL);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        unsigned low = ROWS[i].low, high = ROWS[i].high;
        llmcall_error error;
        while (high - low > 1) {
            unsigned middle = low + (high - low) / 2;
            if (render_n(&env, ROWS[i].format, middle, 1 << 20, &error) == LLMCALL_OK) low = middle;
            else high = middle;
        }
        int wrong = render_n(&env, ROWS[i].format, low, 1 << 20, &error) != LLMCALL_OK;
        wrong |= render_n(&env, ROWS[i].format, low + 1, 1 << 20, &error) != LLMCALL_E_TEMPLATE;
        wrong |= !strstr(error.message, ROWS[i].says) || (ROWS[i].cap && low != ROWS[i].cap);
        if (wrong) sprintf(failed, "row %zu at %u: %.100s", i, low, error.message);
    }
    return NULL;
}

static void test_caps_on_a_small_stack(void **state) {
    (void)state;
    on_a_small_stack(run_to_caps);
}

/* ---- Variables as JSON ------------------------------------------------------------------------------------------------- */

static const char VARIABLES[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"h\\u00e9\"}]}, {\"role\": "
    "\"assistant\","
    " \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": [1, -2.5, true, null, {}]}}}]}], \"n\": 1e3}";

static llmcall_status render_json(const llmc_env *env, const char *source, const char *json, llmc_buffer *out,
                                  llmcall_error *error) {
    llmc_template *compiled = NULL;
    json_t *variables = NULL;
    llmc_buffer_init(out, env, 1 << 20);
    llmcall_status status = llmc_json_load(json, strlen(json), "variables", &variables, error);
    if (!status) status = llmc_template_compile(env, source, strlen(source), &compiled, error);
    if (!status) status = llmc_template_render_json(compiled, variables, 0, out, error);
    llmc_template_destroy(&compiled);
    json_decref(variables);
    return status;
}

static void test_json_variables(void **state) {
    (void)state;
    static const char SOURCE[] = "{% for m in messages %}{{ m.content[0].text if m.content }}{{ m.tool_calls|tojson if "
                                 "m.tool_calls }}{% endfor %}{{ n }}{{ x }}";
    llmc_env env;
    llmc_buffer out;
    failing_alloc alloc;
    LLMCALL_INIT(llmcall_error, error);
    failing_alloc_init(&alloc, &env);
    assert_int_equal(render_json(&env, SOURCE, VARIABLES, &out, &error), LLMCALL_OK);
    assert_string_equal(
        out.data, "h\xC3\xA9[{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": [1, -2.5, true, null, {}]}}}]1000.0");
    llmc_buffer_free(&out);
    llmcall_status status = LLMCALL_E_NO_MEMORY;
    for (long n = 1; status != LLMCALL_OK && n < 1000; n++) {
        alloc.fail_at = n;
        alloc.count = 0;
        status = render_json(&env, SOURCE, VARIABLES, &out, &error);
        llmc_buffer_free(&out);
        assert_int_equal(alloc.live, 0);
        assert_true(status == LLMCALL_OK || status == LLMCALL_E_NO_MEMORY);
    }
    assert_int_equal(status, LLMCALL_OK);
}

static void *run_nested_json(void *failed) {
    llmc_env env;
    llmc_env_init(&env, NULL);
    for (int n = LLMC_JSON_MAX_DEPTH - 1; n <= LLMC_JSON_MAX_DEPTH; n++) {
        char *inner = nested("[{\"a\": ", "1", "}]", n / 2), *json = calloc(1, strlen(inner) + 20);
        llmc_buffer out;
        LLMCALL_INIT(llmcall_error, error);
        if (!json) abort();
        sprintf(json, n % 2 ? "{\"x\": %s}" : "{\"x\": [%s]}", inner);
        llmcall_status status =
            render_json(&env, "{{ x|tojson == x|string }}{{ x == x }}{{ x|string|length > 9 }}", json, &out, &error);
        if (status != (n < LLMC_JSON_MAX_DEPTH ? LLMCALL_OK : LLMCALL_E_ARGUMENT))
            sprintf(failed, "depth %d: %.100s", n, error.message);
        llmc_buffer_free(&out);
        free(json);
        free(inner);
    }
    return NULL;
}

static void test_nested_json_on_a_small_stack(void **state) {
    (void)state;
    on_a_small_stack(run_nested_json);
}

static void test_values_from_outside(void **state) {
    (void)state;
    static const char SOURCE[] = "{{ tools|tojson }}{{ tools[0].x + 1 }}";
    llmc_env env;
    llmc_arena arena;
    llmc_value globals, tools, tool;
    llmc_template *compiled = NULL;
    llmc_buffer out;
    llmc_env_init(&env, NULL);
    llmc_arena_init(&arena, &env, 1 << 16, UINT64_MAX);
    assert_true(llmc_value_dict(&arena, 0, &globals) && llmc_value_list(&arena, 0, LLMC_KIND_LIST, &tools));
    assert_true(llmc_value_dict(&arena, 0, &tool));
    for (int i = 0; i < 40; i++) {
        static const char NAMES[] = "xabcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRS";
        assert_true(llmc_value_put(&arena, &tool, llmc_value_text(NAMES + i, 1), llmc_value_int(i)));
        assert_int_equal(llmc_value_get(&tool, &(llmc_value){.type = LLMC_STRING, .size = 1, .as.text = NAMES + i})->as.integer,
                         i);
    }
    tool.as.dict->count = 1;
    assert_true(llmc_value_append(&arena, &tools, tool) &&
                llmc_value_put(&arena, &globals, llmc_value_literal("tools"), tools));
    llmc_buffer_init(&out, &env, 1000);
    assert_int_equal(llmc_template_compile(&env, SOURCE, sizeof SOURCE - 1, &compiled, NULL), LLMCALL_OK);
    assert_int_equal(llmc_template_render_values(compiled, &globals, 0, &out, NULL), LLMCALL_OK);
    assert_string_equal(out.data, "[{\"x\": 0}]1");
    llmc_template_destroy(&compiled);
    llmc_buffer_free(&out);
    llmc_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prints),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_bad_bytes),
        cmocka_unit_test(test_nesting_on_a_small_stack),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_values_from_outside),
        cmocka_unit_test(test_caps_on_a_small_stack),
        cmocka_unit_test(test_json_variables),
        cmocka_unit_test(test_nested_json_on_a_small_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
