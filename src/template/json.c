/* From jansson's tree to template values, and a render of them. */
#include "template/json.h"

#include "template/tree.h"

static int from_array(llmc_arena *arena, const json_t *json, llmc_value *out) {
    const size_t n = json_array_size(json);
    if (n > UINT32_MAX || !llmc_value_list(arena, (uint32_t)n, LLMC_KIND_LIST, out)) return 0;
    for (size_t i = 0; i < n; i++) {
        llmc_value item;
        if (!llmc_value_from_json(arena, json_array_get(json, i), &item) || !llmc_value_append(arena, out, item)) return 0;
    }
    return 1;
}

static int from_object(llmc_arena *arena, const json_t *json, llmc_value *out) {
    const size_t n = json_object_size(json);
    if (n > UINT32_MAX || !llmc_value_dict(arena, (uint32_t)n, out)) return 0;
    json_t *object = (json_t *)(uintptr_t)json; /* jansson's iterators take no const, and change nothing */
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        llmc_value value;
        if (!llmc_value_from_json(arena, json_object_iter_value(at), &value)) return 0;
        if (!llmc_value_put(arena, out, llmc_value_literal(json_object_iter_key(at)), value)) return 0;
    }
    return 1;
}

int llmc_value_from_json(llmc_arena *arena, const json_t *json, llmc_value *out) {
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return from_object(arena, json, out);
    case JSON_ARRAY:
        return from_array(arena, json, out);
    case JSON_STRING:
        return *out = llmc_value_text(json_string_value(json), json_string_length(json)), 1;
    case JSON_INTEGER:
        return *out = llmc_value_int(json_integer_value(json)), 1;
    case JSON_REAL:
        return *out = llmc_value_float(json_real_value(json)), 1;
    case JSON_TRUE:
    case JSON_FALSE:
        return *out = llmc_value_bool(json_is_true(json)), 1;
    case JSON_NULL:
    default:
        return *out = llmc_value_none(), 1;
    }
}

llmcall_status llmc_template_render_json(const llmc_template *compiled, json_t *variables, int64_t now_unix_s, llmc_buffer *out,
                                         llmcall_error *error) {
    llmc_arena arena;
    llmc_value globals;
    llmcall_status status;
    llmc_arena_init(&arena, compiled->env, LLMC_TEMPLATE_MAX_MEMORY, UINT64_MAX);
    if (llmc_value_from_json(&arena, variables, &globals))
        status = llmc_template_render_values(compiled, &globals, now_unix_s, out, error);
    else if (arena.status == LLMCALL_E_NO_MEMORY) status = llmc_fail_memory(error, "variables");
    else
        status = llmc_fail(error, LLMCALL_E_TEMPLATE, NULL, "variables", "The variables take more than %zu bytes as values.",
                           LLMC_TEMPLATE_MAX_MEMORY);
    llmc_arena_free(&arena);
    return status;
}
