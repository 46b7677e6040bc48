/* The table of pre-tokenizers, and cutting by their patterns with PCRE2. */
#include "tokenizer/pretokenize.h"

#include <string.h>

#include "core/alloc.h"

/* Character classes. PCRE2's \s has U+180E, which Unicode's White_Space has not. Characters that are younger than the oldest
 * PCRE2 in use (Unicode 14) stand beside the properties, so that the pieces do not depend on its version (Unicode 15.1). */
#define SPACE "\\p{White_Space}"
#define LETTER                                                                                                                 \
    "\\p{L}\\x{1123f}-\\x{11240}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}\\x{1342f}\\x{13441}-\\x{13446}"           \
    "\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}"       \
    "\\x{31350}-\\x{323af}"
#define NUMBER "\\p{N}\\x{11f50}-\\x{11f59}\\x{1d2c0}-\\x{1d2d3}\\x{1e4f0}-\\x{1e4f9}"
#define MARK                                                                                                                   \
    "\\p{M}\\x{cf3}\\x{ece}\\x{10efd}-\\x{10eff}\\x{11241}\\x{11f00}-\\x{11f01}\\x{11f03}\\x{11f34}-\\x{11f3a}"                \
    "\\x{11f3e}-\\x{11f42}\\x{13440}\\x{13447}-\\x{13455}\\x{1e08f}\\x{1e4ec}-\\x{1e4ef}"

#define ANY_CASE_SUFFIX "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define BLANKS          "|" SPACE "+(?![^" SPACE "])|" SPACE "+"
#define BLANK_LINES     "|" SPACE "*[\\r\\n]+"
#define OTHERS(letters) "| ?[^" SPACE letters NUMBER "]+"

#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?[" LETTER "]+| ?[" NUMBER "]+" OTHERS(LETTER) BLANKS
#define WORDS(letters, numbers)                                                                                                \
    ANY_CASE_SUFFIX "|[^\\r\\n" LETTER NUMBER "]?[" letters "]+|[" NUMBER "]" numbers OTHERS(                                  \
        letters) "[\\r\\n]*" BLANK_LINES BLANKS

static const char *const gpt2[] = {GPT2_PATTERN, NULL};
static const char *const digits_gpt2[] = {"[" NUMBER "]", GPT2_PATTERN, NULL};
static const char *const llama3[] = {WORDS(LETTER, "{1,3}"), NULL};
static const char *const qwen2[] = {WORDS(LETTER, ""), NULL};
static const char *const qwen35[] = {WORDS(LETTER MARK, ""), NULL};

static const llmc_pre_kind kinds[] = {
    {"gpt-2", gpt2, 0, 0},
    {"phi-2", gpt2, 0, 0},
    {"jina-es", gpt2, 0, 0},
    {"jina-de", gpt2, 0, 0},
    {"gigachat", gpt2, 0, 0},
    {"a.x-4.0", gpt2, 0, 0},
    {"mellum", gpt2, 0, 0},
    {"mpt", gpt2, 0, 0},
    {"olmo", gpt2, 0, 0},
    {"jais", gpt2, 0, 0},
    {"trillion", gpt2, 0, 0},
    {"granite-docling", gpt2, 0, 0},
    {"exaone4", gpt2, 0, 0},
    {"smollm", digits_gpt2, 0, 0},
    {"starcoder", digits_gpt2, 0, 0},
    {"refact", digits_gpt2, 0, 0},
    {"command-r", digits_gpt2, 0, 0},
    {"codeshell", digits_gpt2, 0, 0},
    {"exaone", digits_gpt2, 0, 0},
    {"minerva-7b", digits_gpt2, 0, 0},
    {"mellum2", digits_gpt2, 0, 0},
    {"llama3", llama3, 1, 1},
    {"llama-v3", llama3, 1, 1},
    {"llama-bpe", llama3, 1, 1},
    {"falcon3", llama3, 1, 1},
    {"falcon-h1", llama3, 1, 1},
    {"pixtral", llama3, 1, 1},
    {"midm-2.0", llama3, 1, 1},
    {"lfm2", llama3, 1, 1},
    {"jina-v5-nano", llama3, 1, 1},
    {"dbrx", llama3, 0, 0},
    {"smaug-bpe", llama3, 0, 0},
    {"chatglm-bpe", llama3, 0, 0},
    {"glm4", llama3, 1, 0},
    {"glm5", llama3, 1, 0},
    {"qwen2", qwen2, 0, 0},
    {"deepseek-r1-qwen", qwen2, 0, 0},
    {"kormo", qwen2, 0, 0},
    {"f2llmv2", qwen2, 0, 0},
    {"megrez", qwen2, 0, 0},
    {"stablelm2", qwen2, 0, 0},
    {"hunyuan", qwen2, 0, 0},
    {"solar-open", qwen2, 0, 0},
    {"grok-2", qwen2, 0, 0},
    {"qwen35", qwen35, 0, 0},
};

const llmc_pre_kind *llmc_pre_find(const char *name) {
    for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

/* ---- Patterns ---------------------------------------------------------------------------------------------------------- */

static void *allocate(size_t size, void *env) {
    return llmc_alloc(env, size);
}
static void release(void *block, void *env) {
    llmc_free(env, block);
}

static llmcall_status compile(llmc_pretokenizer *p, const char *pattern, llmcall_error *error) {
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(p->memory);
    if (!context) return llmc_fail_memory(error, "the pre-tokenizer");
    p->patterns[p->n] =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &offset, context);
    pcre2_compile_context_free(context);
    if (p->patterns[p->n]) {
        p->n++;
        return LLMCALL_OK;
    }
    if (code == PCRE2_ERROR_HEAP_FAILED) return llmc_fail_memory(error, "the pre-tokenizer");
    return llmc_fail(error, LLMCALL_E_INTERNAL, NULL, NULL, "PCRE2 refuses a pre-tokenizer pattern at %zu with error %d",
                     (size_t)offset, code);
}

llmcall_status llmc_pretokenizer_init(llmc_pretokenizer *p, const llmc_env *env, const llmc_pre_kind *kind, int use_jit,
                                      llmcall_error *error) {
    memset(p, 0, sizeof *p);
    p->memory = pcre2_general_context_create(allocate, release, (void *)(uintptr_t)env);
    if (!p->memory) return llmc_fail_memory(error, "the pre-tokenizer");
    for (int i = 0; kind->patterns[i]; i++) {
        llmcall_status status = compile(p, kind->patterns[i], error);
        if (status) return status;
    }
    p->jit = use_jit;
    for (int i = 0; i < p->n && p->jit; i++) p->jit = pcre2_jit_compile(p->patterns[i], PCRE2_JIT_COMPLETE) == 0;
    return LLMCALL_OK;
}

void llmc_pretokenizer_free(llmc_pretokenizer *p) {
    for (int i = 0; i < p->n; i++) pcre2_code_free(p->patterns[i]);
    pcre2_general_context_free(p->memory);
    memset(p, 0, sizeof *p);
}

size_t llmc_pretokenizer_bytes(const llmc_pretokenizer *p) {
    size_t total = 0;
    for (int i = 0; i < p->n; i++) {
        size_t size = 0;
        if (pcre2_pattern_info(p->patterns[i], PCRE2_INFO_SIZE, &size) == 0) total += size;
    }
    return total;
}

/* ---- Cutting ----------------------------------------------------------------------------------------------------------- */

/* The patterns match in linear time; the limits only make sure of it where the interpreter runs them. */
enum { HEAP_LIMIT_KIB = 64 * 1024, STACK_START = 64 * 1024, STACK_MAX = 4 * 1024 * 1024 };
#define MATCH_LIMIT UINT32_MAX

llmcall_status llmc_cutter_init(llmc_cutter *c, const llmc_pretokenizer *pre, llmc_piece_fn emit, void *user) {
    memset(c, 0, sizeof *c);
    c->pre = pre;
    c->emit = emit;
    c->user = user;
    c->match = pcre2_match_data_create(1, pre->memory);
    c->context = pcre2_match_context_create(pre->memory);
    if (!c->match || !c->context) return LLMCALL_E_NO_MEMORY;
    pcre2_set_match_limit(c->context, MATCH_LIMIT);
    pcre2_set_heap_limit(c->context, HEAP_LIMIT_KIB);
    return LLMCALL_OK;
}

void llmc_cutter_free(llmc_cutter *c) {
    pcre2_match_data_free(c->match);
    pcre2_match_context_free(c->context);
    pcre2_jit_stack_free(c->stack);
}

static int match_compiled(llmc_cutter *c, const pcre2_code *pattern, PCRE2_SPTR text, size_t size, size_t from) {
    int result = pcre2_jit_match(pattern, text, size, from, PCRE2_NO_UTF_CHECK, c->match, c->context);
    if (result != PCRE2_ERROR_JIT_STACKLIMIT || c->stack) return result;
    c->stack = pcre2_jit_stack_create(STACK_START, STACK_MAX, c->pre->memory);
    if (!c->stack) return result;
    pcre2_jit_stack_assign(c->context, NULL, c->stack);
    return pcre2_jit_match(pattern, text, size, from, PCRE2_NO_UTF_CHECK, c->match, c->context);
}

/* PCRE2's result: positive if there is a match. */
static int match_next(llmc_cutter *c, const pcre2_code *pattern, const char *text, size_t size, size_t from) {
    int result = PCRE2_ERROR_JIT_STACKLIMIT;
    if (c->pre->jit) result = match_compiled(c, pattern, (PCRE2_SPTR)text, size, from);
    if (result != PCRE2_ERROR_JIT_STACKLIMIT) return result;
    return pcre2_match(pattern, (PCRE2_SPTR)text, size, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, c->match, c->context);
}

static llmcall_status cut_by(llmc_cutter *c, int level, const char *text, size_t size) {
    if (size == 0) return LLMCALL_OK;
    if (level == c->pre->n || level == LLMC_PRE_MAX_PATTERNS) return c->emit(c->user, text, size);
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(c->match);
    for (size_t at = 0; at < size;) {
        const int result = match_next(c, c->pre->patterns[level], text, size, at);
        if (result < 0 && result != PCRE2_ERROR_NOMATCH) return LLMCALL_E_NO_MEMORY;
        const size_t start = result < 0 ? size : place[0], end = result < 0 ? size : place[1];
        if (end <= at) return LLMCALL_E_INTERNAL; /* no pattern matches nothing */
        llmcall_status status = cut_by(c, level + 1, text + at, start - at);
        if (!status) status = cut_by(c, level + 1, text + start, end - start);
        if (status) return status;
        at = end;
    }
    return LLMCALL_OK;
}

llmcall_status llmc_cutter_cut(llmc_cutter *c, const char *text, size_t size) {
    return cut_by(c, 0, text, size);
}
