/* Entry points that turn text into tokens and back, and tokens into logits, without a call of their own. */
#include "api/api.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "template/json.h"

enum { MAX_PROMPT_BYTES = 1 << 28 };

static const llmc_tokenizer *find_tokenizer(llmcall_engine *engine, const char *model, llmcall_error *error,
                                            llmc_runtime **found) {
    llmc_error_clear(error);
    if (!engine) {
        llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "engine", "engine is NULL.");
        return NULL;
    }
    llmc_runtime *runtime = llmc_runtime_find(engine, model, error);
    if (found) *found = runtime;
    if (!runtime) return NULL;
    const llmc_tokenizer *tokenizer = llmc_model_tokenizer(runtime->model);
    if (!tokenizer) llmc_fail(error, LLMCALL_E_UNSUPPORTED, "no_vocabulary", "model", "%s has no vocabulary.", runtime->name);
    return tokenizer;
}

/* The status that find_tokenizer's failure stands for, also where the caller gave no error. */
static llmcall_status tokenizer_status(llmcall_engine *engine, const char *model) {
    if (!engine) return LLMCALL_E_ARGUMENT;
    return llmc_runtime_find(engine, model, NULL) ? LLMCALL_E_UNSUPPORTED : LLMCALL_E_NOT_FOUND;
}

/* n elements to a caller's array: always says how many there are. */
static llmcall_status give(void *to, size_t capacity, size_t *n, const void *from, size_t count, size_t element,
                           const char *what, llmcall_error *error) {
    *n = count;
    size_t fits = count < capacity ? count : capacity;
    if (fits) memcpy(to, from, fits * element);
    if (count <= capacity) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_BUFFER, NULL, "capacity", "There are %zu %s; capacity is %zu.", count, what, capacity);
}

static llmcall_status check_output(const void *to, size_t capacity, const size_t *n, llmcall_error *error) {
    if (n && (to || capacity == 0)) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, n ? "capacity" : "n", "There is nowhere to put the result.");
}

llmcall_status llmcall_tokenize(llmcall_engine *engine, const char *model, const char *text, int64_t text_size, uint32_t flags,
                                int32_t *tokens, size_t capacity, size_t *n, llmcall_error *error) {
    const llmc_tokenizer *tokenizer = find_tokenizer(engine, model, error, NULL);
    if (!tokenizer) return tokenizer_status(engine, model);
    size_t size;
    llmcall_status status = check_output(tokens, capacity, n, error);
    if (!status) status = llmc_check_text(text, text_size, "text", &size, error);
    if (!status && flags & ~(uint32_t)(LLMCALL_TOKENIZE_SPECIAL | LLMCALL_TOKENIZE_BOS_EOS))
        status = llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "flags", "flags 0x%x has unknown bits.", flags);
    if (status) return status;
    llmc_token_list list = {0};
    uint32_t encode = (flags & LLMCALL_TOKENIZE_SPECIAL ? LLMC_ENCODE_SPECIAL : 0u) |
                      (flags & LLMCALL_TOKENIZE_BOS_EOS ? LLMC_ENCODE_BOS_EOS : 0u);
    status = llmc_tokenizer_encode(tokenizer, text, size, encode, &list, error);
    if (!status) status = give(tokens, capacity, n, list.ids, list.n, sizeof *list.ids, "tokens", error);
    llmc_token_list_free(&engine->env, &list);
    return status;
}

llmcall_status llmcall_detokenize(llmcall_engine *engine, const char *model, const int32_t *tokens, size_t n_tokens,
                                  uint32_t flags, char *bytes, size_t capacity, size_t *size, llmcall_error *error) {
    const llmc_tokenizer *tokenizer = find_tokenizer(engine, model, error, NULL);
    if (!tokenizer) return tokenizer_status(engine, model);
    llmcall_status status = check_output(bytes, capacity, size, error);
    if (!status && n_tokens && !tokens) status = llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "tokens", "tokens is NULL.");
    if (!status && flags & ~(uint32_t)LLMCALL_DETOKENIZE_SPECIAL)
        status = llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "flags", "flags 0x%x has unknown bits.", flags);
    if (status) return status;
    llmc_buffer text;
    llmc_buffer_init(&text, &engine->env, MAX_PROMPT_BYTES);
    uint32_t decode = flags & LLMCALL_DETOKENIZE_SPECIAL ? LLMC_DECODE_SPECIAL : 0u;
    status = llmc_tokenizer_decode(tokenizer, tokens, n_tokens, decode, &text, error);
    if (!status) status = give(bytes, capacity, size, text.data, text.size, 1, "bytes", error);
    llmc_buffer_free(&text);
    return status;
}

/* ---- Messages ---- */

static llmcall_status import_messages(llmcall_engine *engine, const llmcall_message *messages, size_t n,
                                      llmc_template_message **out, llmcall_error *error) {
    *out = NULL;
    if (!messages || n == 0) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "messages", "messages is empty.");
    if (n > LLMC_MAX_MESSAGES)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "messages", "messages has %zu entries; at most %d.", n,
                         LLMC_MAX_MESSAGES);
    llmc_template_message *list = llmc_alloc_array(&engine->env, n, sizeof *list);
    if (!list) return llmc_fail_memory(error, "the messages");
    llmcall_status status = LLMCALL_OK;
    for (size_t i = 0; i < n && !status; i++) {
        llmcall_message message;
        status = llmc_import(&message, sizeof message, llmc_element(messages, i), "message", error);
        if (!status) status = llmc_check_text(message.role, -1, "messages.role", &list[i].role_size, error);
        if (!status)
            status = llmc_check_text(message.content, message.content_size, "messages.content", &list[i].content_size, error);
        list[i].role = message.role;
        list[i].content = message.content;
    }
    if (status) llmc_free(&engine->env, list);
    else *out = list;
    return status;
}

static llmcall_status check_template(const llmc_runtime *runtime, llmcall_error *error) {
    if (runtime->chat_template) return LLMCALL_OK;
    llmc_error_copy(error, &runtime->template_error);
    return LLMCALL_E_TEMPLATE;
}

static llmcall_status render(const llmc_runtime *runtime, const llmc_template_message *list, size_t n_messages,
                             int add_generation_prompt, llmc_buffer *text, llmcall_error *error) {
    llmcall_status status = check_template(runtime, error);
    if (status) return status;
    llmc_template_input input = {.messages = list,
                                 .n_messages = n_messages,
                                 .add_generation_prompt = add_generation_prompt,
                                 .bos_token = runtime->bos_text,
                                 .eos_token = runtime->eos_text,
                                 .now_unix_s = llmc_unix_ms() / 1000};
    return llmc_template_render(runtime->chat_template, &input, text, error);
}

/* A role or a content, and its size. */
typedef struct message_text {
    const char **text;
    size_t *size;
} message_text;

static message_text text_of(llmc_template_message *list, size_t i) {
    llmc_template_message *message = &list[i / 2];
    if (i % 2) return (message_text){&message->content, &message->content_size};
    return (message_text){&message->role, &message->role_size};
}

/* U+FDD0 to U+FDEF: code points that no text for interchange has. They lie in one block of 64, so that in UTF-8 only the last
 * byte differs. */
enum { FIRST_SHIELD = 0xfdd0, N_SHIELDS = 32, SHIELD_SIZE = 3 };
#define SHIELD_LEAD "\xef\xb7"
enum { FIRST_SHIELD_BYTE = 0x90 };

uint32_t llmc_shields_in(const char *text, size_t size) {
    const char *end = text + size;
    uint32_t bits = 0;
    for (const char *at = text; (at = memchr(at, SHIELD_LEAD[0], (size_t)(end - at))); at++) {
        if (end - at < SHIELD_SIZE) break;
        const unsigned last = (uint8_t)at[2] - (unsigned)FIRST_SHIELD_BYTE;
        if (at[1] == SHIELD_LEAD[1] && last < N_SHIELDS) bits |= 1u << last;
    }
    return bits;
}

uint32_t llmc_free_shield(uint32_t taken) {
    for (uint32_t i = 0; i < N_SHIELDS; i++) {
        if (!(taken >> i & 1)) return FIRST_SHIELD + i;
    }
    return 0;
}

/* One that none of the messages has; 0 if they have them all. */
static uint32_t shield_for(llmc_template_message *list, size_t n_texts) {
    uint32_t taken = 0;
    for (size_t i = 0; i < n_texts; i++) taken |= llmc_shields_in(*text_of(list, i).text, *text_of(list, i).size);
    return llmc_free_shield(taken);
}

static int names_control(const llmc_tokenizer *tokenizer, message_text text) {
    return llmc_tokenizer_names_control(tokenizer, *text.text, *text.size);
}

/* Puts shielded copies in copies and in place of the texts from the first one on that names a control token. */
static llmcall_status replace_texts(const llmc_tokenizer *tokenizer, llmc_template_message *list, size_t n_texts, size_t first,
                                    uint32_t shield, llmc_buffer *copies, llmcall_error *error) {
    for (size_t i = first; i < n_texts; i++) {
        message_text text = text_of(list, i);
        if (!names_control(tokenizer, text)) continue;
        const size_t before = copies->size;
        if (!llmc_tokenizer_shield(tokenizer, *text.text, *text.size, shield, copies))
            return llmc_fail(error, copies->status, NULL, "messages", "The messages exceed %zu bytes or the memory.",
                             copies->max);
        *text.size = copies->size - before;
        *text.text = NULL; /* until the copies stop moving */
    }
    const char *copy = copies->data;
    for (size_t i = first; i < n_texts; i++) {
        message_text text = text_of(list, i);
        if (*text.text) continue;
        *text.text = copy;
        copy += *text.size;
    }
    return LLMCALL_OK;
}

/* Shields what the client wrote, role and content, from becoming control tokens; *shield is 0 where nothing has to be, which is
 * the usual case and copies nothing. */
static llmcall_status shield_messages(const llmc_tokenizer *tokenizer, llmc_template_message *list, size_t n,
                                      llmc_buffer *copies, uint32_t *shield, llmcall_error *error) {
    size_t first = 0;
    *shield = 0;
    while (first < 2 * n && !names_control(tokenizer, text_of(list, first))) first++;
    if (first == 2 * n) return LLMCALL_OK;
    *shield = shield_for(list, 2 * n);
    if (!*shield)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "messages",
                         "messages hold control tokens as text and each of the %d noncharacters U+FDD0 to U+FDEF.", N_SHIELDS);
    return replace_texts(tokenizer, list, 2 * n, first, *shield, copies, error);
}

llmcall_status llmc_render_messages(llmcall_engine *engine, const llmc_runtime *runtime, const llmcall_message *messages,
                                    size_t n_messages, int add_generation_prompt, llmc_buffer *text, llmcall_error *error) {
    llmc_template_message *list;
    llmcall_status status = import_messages(engine, messages, n_messages, &list, error);
    if (status) return status;
    status = render(runtime, list, n_messages, add_generation_prompt, text, error);
    llmc_free(&engine->env, list);
    return status;
}

/* A template that writes the BOS itself must not get a second one from the vocabulary. */
static uint32_t bos_flag(const llmc_tokenizer *tokenizer, const llmc_runtime *runtime, const llmc_buffer *text) {
    size_t size = strlen(runtime->bos_text);
    int written = size > 0 && text->size >= size && memcmp(text->data, runtime->bos_text, size) == 0;
    return llmc_tokenizer_add_bos(tokenizer) && !written ? LLMC_ENCODE_BOS_EOS : 0u;
}

llmcall_status llmc_encode_messages(llmcall_engine *engine, const llmc_runtime *runtime, const llmcall_message *messages,
                                    size_t n_messages, llmc_token_list *tokens, llmcall_error *error) {
    const llmc_tokenizer *tokenizer = llmc_model_tokenizer(runtime->model);
    if (!tokenizer)
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, "no_vocabulary", "messages",
                         "The model has no vocabulary; send tokens.");
    llmc_template_message *list;
    llmcall_status status = import_messages(engine, messages, n_messages, &list, error);
    if (status) return status;
    llmc_buffer copies, text;
    uint32_t shield;
    llmc_buffer_init(&copies, &engine->env, MAX_PROMPT_BYTES);
    llmc_buffer_init(&text, &engine->env, MAX_PROMPT_BYTES);
    status = shield_messages(tokenizer, list, n_messages, &copies, &shield, error);
    if (!status) status = render(runtime, list, n_messages, 1, &text, error);
    if (!status) {
        uint32_t flags = LLMC_ENCODE_SPECIAL | bos_flag(tokenizer, runtime, &text);
        status = llmc_tokenizer_encode_shielded(tokenizer, text.data ? text.data : "", text.size, shield, flags, tokens, error);
    }
    llmc_buffer_free(&text);
    llmc_buffer_free(&copies);
    llmc_free(&engine->env, list);
    return status;
}

llmcall_status llmcall_apply_template(llmcall_engine *engine, const char *model, const llmcall_message *messages,
                                      size_t n_messages, int32_t add_generation_prompt, char *out, size_t capacity,
                                      size_t *size, llmcall_error *error) {
    llmc_runtime *runtime;
    if (!find_tokenizer(engine, model, error, &runtime)) return tokenizer_status(engine, model);
    llmcall_status status = check_output(out, capacity, size, error);
    if (status) return status;
    llmc_buffer text;
    llmc_buffer_init(&text, &engine->env, MAX_PROMPT_BYTES);
    status = llmc_render_messages(engine, runtime, messages, n_messages, add_generation_prompt != 0, &text, error);
    if (!status) status = give(out, capacity, size, text.data, text.size, 1, "bytes", error);
    llmc_buffer_free(&text);
    return status;
}

/* ---- Templates over JSON ---- */

static llmcall_status load_variables(const char *variables, int64_t given, json_t **out, llmcall_error *error) {
    size_t size;
    *out = NULL;
    llmcall_status status = llmc_check_text(variables, given, "variables", &size, error);
    if (!status) status = llmc_json_load(variables, size, "variables", out, error);
    if (status || json_is_object(*out)) return status;
    json_decref(*out);
    *out = NULL;
    return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "variables", "variables must be a JSON object.");
}

/* Models here read text alone: any other part of a content is named, whatever the template would make of it. */
static llmcall_status check_parts(const json_t *content, size_t message, llmcall_error *error) {
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *type = json_object_get(json_array_get(content, i), "type");
        const char *name = json_string_value(type);
        if (!type || (name && strcmp(name, "text") == 0)) continue;
        char param[64];
        snprintf(param, sizeof param, "messages[%zu].content[%zu]", message, i);
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, param, "%s is not text; only text is served by this version.",
                         param);
    }
    return LLMCALL_OK;
}

static llmcall_status check_json_messages(const json_t *messages, llmcall_error *error) {
    const size_t n = json_array_size(messages);
    llmcall_status status = LLMCALL_OK;
    if (n == 0 || n > LLMC_MAX_MESSAGES)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "messages", "messages must be an array of 1 to %d messages.",
                         LLMC_MAX_MESSAGES);
    for (size_t i = 0; i < n && !status; i++) {
        const json_t *message = json_array_get(messages, i);
        char param[40];
        snprintf(param, sizeof param, "messages[%zu]", i);
        if (json_is_object(message)) status = check_parts(json_object_get(message, "content"), i, error);
        else status = llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, param, "%s must be an object.", param);
    }
    return status;
}

/* What transformers gives every template, where the caller does not. Takes value; 0 when out of memory. */
static int set_default(json_t *variables, const char *name, json_t *value) {
    if (value && !json_object_get(variables, name)) return json_object_set_new(variables, name, value) == 0;
    json_decref(value);
    return value != NULL;
}

static int set_defaults(json_t *variables, const llmc_runtime *runtime) {
    return set_default(variables, "tools", json_null()) && set_default(variables, "documents", json_null()) &&
           set_default(variables, "add_generation_prompt", json_true()) &&
           set_default(variables, "bos_token", json_stringn_nocheck(runtime->bos_text, strlen(runtime->bos_text))) &&
           set_default(variables, "eos_token", json_stringn_nocheck(runtime->eos_text, strlen(runtime->eos_text)));
}

static llmcall_status render_variables(const llmc_runtime *runtime, json_t *variables, llmc_buffer *text,
                                       llmcall_error *error) {
    llmcall_status status = check_json_messages(json_object_get(variables, "messages"), error);
    if (!status) status = check_template(runtime, error);
    if (status) return status;
    if (!set_defaults(variables, runtime)) return llmc_fail_memory(error, "variables");
    return llmc_template_render_json(runtime->chat_template, variables, llmc_unix_ms() / 1000, text, error);
}

llmcall_status llmcall_apply_template_json(llmcall_engine *engine, const char *model, const char *variables,
                                           int64_t variables_size, char *out, size_t capacity, size_t *size,
                                           llmcall_error *error) {
    llmc_runtime *runtime;
    json_t *object;
    if (!find_tokenizer(engine, model, error, &runtime)) return tokenizer_status(engine, model);
    llmcall_status status = check_output(out, capacity, size, error);
    if (!status) status = load_variables(variables, variables_size, &object, error);
    if (status) return status;
    llmc_buffer text;
    llmc_buffer_init(&text, &engine->env, MAX_PROMPT_BYTES);
    status = render_variables(runtime, object, &text, error);
    if (!status) status = give(out, capacity, size, text.data, text.size, 1, "bytes", error);
    llmc_buffer_free(&text);
    json_decref(object);
    return status;
}

llmcall_status llmcall_render_template(const char *source, int64_t source_size, const char *variables, int64_t variables_size,
                                       char *out, size_t capacity, size_t *size, llmcall_error *error) {
    llmc_env env;
    llmc_buffer text;
    llmc_template *compiled = NULL;
    json_t *object = NULL;
    size_t n_source = 0;
    llmc_error_clear(error);
    llmc_env_init(&env, NULL);
    llmc_buffer_init(&text, &env, LLMC_TEMPLATE_MAX_OUTPUT);
    llmcall_status status = check_output(out, capacity, size, error);
    if (!status) status = llmc_check_text(source, source_size, "chat_template", &n_source, error);
    if (!status) status = load_variables(variables, variables_size, &object, error);
    if (!status) status = llmc_template_compile(&env, source, n_source, &compiled, error);
    if (!status) status = llmc_template_render_json(compiled, object, llmc_unix_ms() / 1000, &text, error);
    if (!status) status = give(out, capacity, size, text.data, text.size, 1, "bytes", error);
    llmc_template_destroy(&compiled);
    llmc_buffer_free(&text);
    json_decref(object);
    return status;
}

llmcall_status llmcall_count_tokens(llmcall_engine *engine, const char *model, const llmcall_message *messages,
                                    size_t n_messages, size_t *n, llmcall_error *error) {
    llmc_runtime *runtime;
    if (!find_tokenizer(engine, model, error, &runtime)) return tokenizer_status(engine, model);
    llmcall_status status = check_output(NULL, 0, n, error);
    if (status) return status;
    llmc_token_list tokens = {0};
    status = llmc_encode_messages(engine, runtime, messages, n_messages, &tokens, error);
    if (!status) *n = tokens.n;
    llmc_token_list_free(&engine->env, &tokens);
    return status;
}

/* ---- Later features: refused by name ---- */

static llmcall_status unserved(const char *name, llmcall_error *error) {
    llmc_error_clear(error);
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, name, "%s is not served by this version.", name);
}

llmcall_status llmcall_prefix_save(llmcall_engine *engine, const char *model, const int32_t *tokens, size_t n_tokens,
                                   uint8_t *bytes, size_t capacity, size_t *size, llmcall_error *error) {
    (void)engine, (void)model, (void)tokens, (void)n_tokens, (void)bytes, (void)capacity, (void)size;
    return unserved("llmcall_prefix_save", error);
}

llmcall_status llmcall_prefix_restore(llmcall_engine *engine, const char *model, const uint8_t *bytes, size_t size,
                                      llmcall_error *error) {
    (void)engine, (void)model, (void)bytes, (void)size;
    return unserved("llmcall_prefix_restore", error);
}
