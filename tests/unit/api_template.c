/* The two entry points that take templates' variables as JSON: sizes, arguments, and what a model adds. */
#include "api/api.h"
#include "tests/unit/engine_setup.h"

static const char MESSAGES[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"h\\u00e9\"}]}";

static void test_sizes(void **state) {
    (void)state;
    char text[8];
    size_t size = 99;
    const char *source = "{{ messages[0].content }}!";
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmcall_render_template(source, -1, MESSAGES, -1, text, 8, &size, &error), LLMCALL_OK);
    assert_int_equal(size, 4);
    assert_memory_equal(text, "h\xC3\xA9!", 4);
    assert_int_equal(llmcall_render_template(source, -1, MESSAGES, -1, text, 4, &size, NULL), LLMCALL_OK);
    assert_int_equal(llmcall_render_template(source, -1, MESSAGES, -1, text, 3, &size, &error), LLMCALL_E_BUFFER);
    assert_int_equal(size, 4);
    assert_int_equal(llmcall_render_template(source, -1, MESSAGES, -1, NULL, 0, &size, &error), LLMCALL_E_BUFFER);
    assert_int_equal(size, 4);
    assert_int_equal(llmcall_render_template("", 0, "{}", 2, NULL, 0, &size, &error), LLMCALL_OK);
    assert_int_equal(size, 0);
    assert_int_equal(llmcall_render_template("abc", 2, "{}x", 2, text, 8, &size, &error), LLMCALL_OK);
    assert_int_equal(size, 2);
}

static void test_arguments(void **state) {
    (void)state;
    static const struct {
        const char *source, *variables, *param;
        llmcall_status status;
    } ROWS[] = {{NULL, "{}", "chat_template", LLMCALL_E_ARGUMENT},
                {"", NULL, "variables", LLMCALL_E_ARGUMENT},
                {"", "[]", "variables", LLMCALL_E_ARGUMENT},
                {"", "{", "variables", LLMCALL_E_ARGUMENT},
                {"\xff", "{}", "chat_template", LLMCALL_E_UTF8},
                {"", "{\"a\": \"\xff\"}", "variables", LLMCALL_E_UTF8},
                {"{{ x.y }}", "{}", "chat_template", LLMCALL_E_TEMPLATE},
                {"{{", "{}", "chat_template", LLMCALL_E_TEMPLATE}};
    char text[8];
    size_t size;
    LLMCALL_INIT(llmcall_error, error);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        assert_int_equal(llmcall_render_template(ROWS[i].source, -1, ROWS[i].variables, -1, text, 8, &size, &error),
                         ROWS[i].status);
        assert_string_equal(error.param, ROWS[i].param);
        assert_int_equal(llmcall_render_template(ROWS[i].source, -1, ROWS[i].variables, -1, text, 8, &size, NULL),
                         ROWS[i].status);
    }
    assert_int_equal(llmcall_render_template("", -1, "{}", -1, NULL, 8, &size, &error), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_render_template("", -1, "{}", -1, text, 8, NULL, &error), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_render_template("", -2, "{}", -1, text, 8, &size, &error), LLMCALL_E_ARGUMENT);
}

static llmcall_engine *open_engine(void) {
    tiny_gguf file = {0};
    tiny_gguf_build(&file, &(tiny_gguf_spec){.context_length = 256});
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = 0;
    return setup_engine_with(&file, &options, NULL);
}

static void test_a_models_template(void **state) {
    (void)state;
    static const struct {
        const char *variables, *param;
        llmcall_status status;
    } ROWS[] = {{"{}", "messages", LLMCALL_E_ARGUMENT},
                {"{\"messages\": []}", "messages", LLMCALL_E_ARGUMENT},
                {"{\"messages\": {}}", "messages", LLMCALL_E_ARGUMENT},
                {"{\"messages\": [1]}", "messages[0]", LLMCALL_E_ARGUMENT},
                {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\"}, {\"type\": \"image\"}]}]}",
                 "messages[0].content[1]", LLMCALL_E_UNSUPPORTED},
                {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": 5}]}]}", "messages[0].content[0]",
                 LLMCALL_E_UNSUPPORTED}};
    llmcall_engine *engine = open_engine();
    char text[256], same[256];
    size_t size, same_size;
    LLMCALL_INIT(llmcall_error, error);
    LLMCALL_INIT(llmcall_message, message);
    message.role = "user";
    message.content = "h\xC3\xA9";
    message.content_size = -1;
    assert_int_equal(llmcall_apply_template(engine, NULL, &message, 1, 1, same, sizeof same, &same_size, &error), LLMCALL_OK);
    assert_int_equal(llmcall_apply_template_json(engine, NULL, MESSAGES, -1, text, sizeof text, &size, &error), LLMCALL_OK);
    assert_int_equal(size, same_size);
    assert_memory_equal(text, same, size);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        assert_int_equal(llmcall_apply_template_json(engine, NULL, ROWS[i].variables, -1, text, sizeof text, &size, &error),
                         ROWS[i].status);
        assert_string_equal(error.param, ROWS[i].param);
    }
    assert_int_equal(llmcall_apply_template_json(NULL, NULL, MESSAGES, -1, text, 8, &size, &error), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_apply_template_json(engine, "no", MESSAGES, -1, text, 8, &size, &error), LLMCALL_E_NOT_FOUND);
    assert_int_equal(llmcall_apply_template_json(engine, NULL, MESSAGES, -1, NULL, 8, &size, &error), LLMCALL_E_ARGUMENT);
    llmcall_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_arguments),
                                       cmocka_unit_test(test_a_models_template)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
