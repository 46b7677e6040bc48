/* Any bytes as a template and, behind a NUL, as JSON variables (without one, over a small conversation): must end with a status,
 * within the budgets, and free everything. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/json.h"
#include "template/json.h"
#include "template/template.h"

enum { NOW = 1717171717 };

static void render(const llmc_template *compiled, const char *json, size_t size, llmc_buffer *out) {
    static const llmc_template_message MESSAGES[] = {
        {"system", 6, "S\n", 2}, {"user", 4, "\xC3\xA9 <b>'\"", 8}, {"assistant", 9, "", 0}};
    llmc_template_input input = {MESSAGES, 3, 1, "<s>", "</s>", NOW};
    json_t *variables = NULL;
    if (!json) {
        llmc_template_render(compiled, &input, out, NULL);
    } else if (llmc_json_load(json, size, "variables", &variables, NULL) == LLMCALL_OK && json_is_object(variables)) {
        llmc_template_render_json(compiled, variables, NOW, out, NULL);
    }
    json_decref(variables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *source = (const char *)data, *end = size ? memchr(source, 0, size) : NULL;
    llmc_env env;
    llmc_template *compiled = NULL;
    llmc_buffer out;
    llmc_env_init(&env, NULL);
    llmc_buffer_init(&out, &env, 1 << 20);
    size_t n_source = end ? (size_t)(end - source) : size;
    if (llmc_template_compile(&env, source, n_source, &compiled, NULL) == LLMCALL_OK)
        render(compiled, end ? end + 1 : NULL, end ? size - n_source - 1 : 0, &out);
    llmc_template_destroy(&compiled);
    llmc_buffer_free(&out);
    return 0;
}
