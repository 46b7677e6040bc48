/* Any bytes as a template over a small conversation: must end with a status, within the budgets, and free everything. */
#include <stddef.h>
#include <stdint.h>

#include "template/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const llmc_template_message MESSAGES[] = {
        {"system", 6, "S\n", 2}, {"user", 4, "\xC3\xA9 <b>'\"", 8}, {"assistant", 9, "", 0}};
    llmc_template_input input = {MESSAGES, 3, 1, "<s>", "</s>", 1717171717};
    llmc_env env;
    llmc_template *compiled = NULL;
    llmc_buffer out;
    llmc_env_init(&env, NULL);
    llmc_buffer_init(&out, &env, 1 << 20);
    if (llmc_template_compile(&env, (const char *)data, size, &compiled, NULL) == LLMCALL_OK) {
        llmc_template_render(compiled, &input, &out, NULL);
    }
    llmc_template_destroy(&compiled);
    llmc_buffer_free(&out);
    return 0;
}
