/* The table of pre-tokenizers and their rules. Each rule is what the regular expression above it matches first, alternative by
 * alternative; L, N and M are Unicode's letters, numbers and marks, S its white space. Time is O(n): no rule looks further than
 * the end of the piece and one character. */
#include "tokenizer/pretokenize.h"

#include <string.h>

#include "core/alloc.h"
#include "tokenizer/classes.h"

enum {
    LETTER = LLMC_CLASS_LETTER,
    NUMBER = LLMC_CLASS_NUMBER,
    MARK = LLMC_CLASS_MARK,
    SPACE = LLMC_CLASS_SPACE,
    BREAK = LLMC_CLASS_BREAK,
    OTHER = LLMC_CLASS_OTHER
};

/* Where the run of characters of some classes that begins at p ends. */
static inline const uint8_t *run_end(const uint8_t *classes, const uint8_t *p, const uint8_t *end, uint32_t wanted) {
    const uint8_t *next;
    while (p < end && llmc_class_at(classes, p, end, &next) & wanted) p = next;
    return p;
}

static inline int followed_by(const uint8_t *classes, const uint8_t *p, const uint8_t *end, uint32_t wanted) {
    const uint8_t *next;
    return p < end && (llmc_class_at(classes, p, end, &next) & wanted) != 0;
}

/* The size of 's 't 're 've 'm 'll 'd at p, or 0. fold: 0x20 where capitals count too, else 0. */
static inline size_t suffix_size(const uint8_t *p, const uint8_t *end, uint8_t fold) {
    if (*p != '\'' || end - p < 2) return 0;
    const uint8_t a = p[1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (end - p < 3) return 0;
    const uint8_t b = p[2] | fold;
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* S+(?!\S)|S+ : white space, less the last character if something other follows that the run can spare. */
static const uint8_t *blanks_end(const uint8_t *classes, const uint8_t *p, const uint8_t *end, uint32_t takes_all) {
    const uint8_t *from = p, *last = p, *next;
    while (p < end) {
        const uint32_t class = llmc_class_at(classes, p, end, &next);
        if (class & takes_all) return p;
        if (!(class & SPACE)) return last > from ? last : p;
        last = p;
        p = next;
    }
    return p;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?L+| ?N+| ?[^SLN]+|S+(?!\S)|S+
 * single_digits: before that, each N is cut out and the rule sees only what lies between. */
static inline const uint8_t *gpt2_end(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, int single_digits) {
    const uint8_t *classes = t->classes, *next;
    const size_t suffix = suffix_size(p, end, 0);
    if (suffix) return p + suffix;
    uint32_t class = llmc_class_at(classes, p, end, &next);
    if (*p == ' ' && next < end) {
        const uint32_t second = llmc_class_at(classes, next, end, &p);
        if (!(second & (single_digits ? SPACE | NUMBER : SPACE))) {
            next = p;
            class = second;
        } else {
            p = next - 1;
        }
    }
    if (class & SPACE) return blanks_end(classes, p, end, single_digits ? NUMBER : 0);
    if (class & LETTER) return run_end(classes, next, end, LETTER);
    if (class & NUMBER) return single_digits ? next : run_end(classes, next, end, NUMBER);
    return run_end(classes, next, end, MARK | OTHER);
}

static const uint8_t *gpt2(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return gpt2_end(t, p, end, 0);
}
static const uint8_t *digits_gpt2(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return gpt2_end(t, p, end, 1);
}

/* S*[\r\n]+|S+(?!\S)|S+ : white space up to its last line break, if it has one. */
static const uint8_t *lines_end(const uint8_t *classes, const uint8_t *p, const uint8_t *end) {
    const uint8_t *from = p, *last = p, *after_break = NULL, *next;
    for (; p < end; p = next) {
        const uint32_t class = llmc_class_at(classes, p, end, &next);
        if (!(class & SPACE)) break;
        if (class & BREAK) after_break = next;
        last = p;
    }
    if (after_break) return after_break;
    return p < end && last > from ? last : p;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nLN]?L+|N{1,numbers}| ?[^SLN]+[\r\n]*|S*[\r\n]+|S+(?!\S)|S+
 * letters: the classes in place of L, but for the [^\r\nLN]. */
static inline const uint8_t *words_end(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, uint32_t letters,
                                       int numbers) {
    const uint8_t *classes = t->classes, *next;
    const uint32_t others = (MARK | OTHER) & ~letters;
    const size_t suffix = suffix_size(p, end, 0x20);
    if (suffix) return p + suffix;
    const uint32_t class = llmc_class_at(classes, p, end, &next);
    if (class & LETTER) return run_end(classes, next, end, letters);
    if (class & NUMBER) {
        for (; numbers > 1 && followed_by(classes, next, end, NUMBER); numbers--) llmc_class_at(classes, next, end, &next);
        return next;
    }
    if (!(class & BREAK) && followed_by(classes, next, end, letters)) return run_end(classes, next, end, letters);
    if (class & letters) return next;
    if (class & SPACE) {
        if (*p != ' ' || !followed_by(classes, next, end, others)) return lines_end(classes, p, end);
    }
    return run_end(classes, run_end(classes, next, end, others), end, BREAK);
}

static const uint8_t *llama3(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return words_end(t, p, end, LETTER, 3);
}
static const uint8_t *qwen2(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return words_end(t, p, end, LETTER, 1);
}
static const uint8_t *qwen35(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return words_end(t, p, end, LETTER | MARK, 1);
}

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

llmcall_status llmc_pretokenizer_init(llmc_pretokenizer *p, const llmc_env *env, const llmc_pre_kind *kind,
                                      llmcall_error *error) {
    p->rule = kind->rule;
    p->classes = llmc_alloc(env, LLMC_CLASSED);
    if (!p->classes) return llmc_fail_memory(error, "the pre-tokenizer");
    llmc_classes_fill(p->classes);
    return LLMCALL_OK;
}

void llmc_pretokenizer_free(llmc_pretokenizer *p, const llmc_env *env) {
    llmc_free(env, p->classes);
    p->classes = NULL;
}

size_t llmc_pretokenizer_bytes(const llmc_pretokenizer *p) {
    return p->classes ? LLMC_CLASSED : 0;
}
