/* The room's entry points: source to compiled template, conversation to prompt. */
#include "template/template.h"

#include <string.h>

#include "core/utf8.h"
#include "template/eval.h"
#include "template/parser.h"

/* Copies the source with "\n" for every newline and, as jinja2 does, without the last one. */
static size_t normalise(const char *source, size_t size, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (source[i] == '\r' && i + 1 < size && source[i + 1] == '\n') continue;
        out[n++] = source[i] == '\r' ? '\n' : source[i];
    }
    return n && out[n - 1] == '\n' ? n - 1 : n;
}

static llmcall_status build(llmc_template *compiled, const char *source, size_t size, llmcall_error *error) {
    char *copy = llmc_arena_text(&compiled->arena, size + 1);
    if (!copy) return llmc_fail_memory(error, "chat_template");
    return llmc_template_parse(compiled, copy, normalise(source, size, copy), error);
}

llmcall_status llmc_template_compile(const llmc_env *env, const char *source, size_t size, llmc_template **out,
                                     llmcall_error *error) {
    *out = NULL;
    if (size > LLMC_TEMPLATE_MAX_SOURCE) {
        return llmc_fail(error, LLMCALL_E_TEMPLATE, NULL, "chat_template", "line 1: the source has %zu bytes, more than %zu",
                         size, LLMC_TEMPLATE_MAX_SOURCE);
    }
    size_t valid = llmc_utf8_valid_prefix(source, size);
    if (valid != size)
        return llmc_fail(error, LLMCALL_E_UTF8, NULL, "chat_template", "byte %zu of the source is not UTF-8", valid);
    llmc_template *compiled = llmc_zalloc(env, sizeof *compiled);
    if (!compiled) return llmc_fail_memory(error, "chat_template");
    compiled->env = env;
    llmc_arena_init(&compiled->arena, env, LLMC_TEMPLATE_MAX_COMPILED, UINT64_MAX);
    llmcall_status status = build(compiled, source, size, error);
    if (status == LLMCALL_OK) *out = compiled;
    else llmc_template_destroy(&compiled);
    return status;
}

void llmc_template_destroy(llmc_template **compiled) {
    if (!compiled || !*compiled) return;
    llmc_arena_free(&(*compiled)->arena);
    llmc_free((*compiled)->env, *compiled);
    *compiled = NULL;
}

llmcall_status llmc_template_render_values(const llmc_template *compiled, const llmc_value *globals, int64_t now_unix_s,
                                           llmc_buffer *out, llmcall_error *error) {
    llmc_render render = {.env = compiled->env, .out = out, .globals = globals, .now_unix_s = now_unix_s, .error = error};
    llmc_arena_init(&render.arena, compiled->env, LLMC_TEMPLATE_MAX_MEMORY, LLMC_TEMPLATE_MAX_WORK);
    llmcall_status status = llmc_render_run(&render, compiled->body);
    llmc_arena_free(&render.arena);
    return status;
}

static int put(llmc_arena *arena, llmc_value *dict, const char *key, llmc_value value) {
    return llmc_value_put(arena, dict, llmc_value_literal(key), value);
}

static int build_messages(llmc_arena *arena, const llmc_template_input *input, llmc_value *list) {
    if (input->n_messages > UINT32_MAX / 2 || !llmc_value_list(arena, (uint32_t)input->n_messages, LLMC_KIND_LIST, list))
        return 0;
    for (size_t i = 0; i < input->n_messages; i++) {
        const llmc_template_message *m = &input->messages[i];
        llmc_value dict;
        if (!llmc_value_dict(arena, 2, &dict) || !put(arena, &dict, "role", llmc_value_text(m->role, m->role_size)) ||
            !put(arena, &dict, "content", llmc_value_text(m->content, m->content_size)) ||
            !llmc_value_append(arena, list, dict)) {
            return 0;
        }
    }
    return 1;
}

static int build_globals(llmc_arena *arena, const llmc_template_input *input, llmc_value *globals) {
    llmc_value messages;
    return llmc_value_dict(arena, 8, globals) && build_messages(arena, input, &messages) &&
           put(arena, globals, "messages", messages) &&
           put(arena, globals, "add_generation_prompt", llmc_value_bool(input->add_generation_prompt)) &&
           put(arena, globals, "bos_token", llmc_value_literal(input->bos_token ? input->bos_token : "")) &&
           put(arena, globals, "eos_token", llmc_value_literal(input->eos_token ? input->eos_token : "")) &&
           put(arena, globals, "tools", llmc_value_none()) && put(arena, globals, "documents", llmc_value_none());
}

llmcall_status llmc_template_render(const llmc_template *compiled, const llmc_template_input *input, llmc_buffer *out,
                                    llmcall_error *error) {
    llmc_arena arena;
    llmc_value globals;
    for (size_t i = 0; i < input->n_messages; i++) {
        if (input->messages[i].content_size < UINT32_MAX && input->messages[i].role_size < UINT32_MAX) continue;
        return llmc_fail(error, LLMCALL_E_TEMPLATE, NULL, "messages", "message %zu is longer than 4 GiB", i);
    }
    llmc_arena_init(&arena, compiled->env, LLMC_TEMPLATE_MAX_MEMORY, UINT64_MAX);
    llmcall_status status = LLMCALL_OK;
    if (build_globals(&arena, input, &globals))
        status = llmc_template_render_values(compiled, &globals, input->now_unix_s, out, error);
    else if (arena.status == LLMCALL_E_NO_MEMORY) status = llmc_fail_memory(error, "messages");
    else status = llmc_fail(error, LLMCALL_E_TEMPLATE, NULL, "messages", "%zu messages are too many", input->n_messages);
    llmc_arena_free(&arena);
    return status;
}
