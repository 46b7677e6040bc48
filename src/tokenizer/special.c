/* The well-known names of special tokens, and the search for special tokens in a text: a trie, and a heap that settles overlaps
 * in the order in which llama.cpp would split the text. */
#include "tokenizer/special.h"

static const char KEY_TOKENS[] = "tokenizer.ggml.tokens";

#define BAR        "\xef\xbd\x9c" /* U+FF5C */
#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */

/* Each of these is a control token and ends a generation, whatever the file says (llama.cpp's list). */
static const char *const eog_names[] = {"<|eot_id|>",
                                        "<|im_end|>",
                                        "<|end|>",
                                        "<|return|>",
                                        "<|call|>",
                                        "<|flush|>",
                                        "<|calls|>",
                                        "<end_of_turn>",
                                        "<|endoftext|>",
                                        "</s>",
                                        "<|eom_id|>",
                                        "<EOT>",
                                        "_<EOT>",
                                        "[EOT]",
                                        "[EOS]",
                                        "<|end_of_text|>",
                                        "<end_of_utterance>",
                                        "<eos>",
                                        "<turn|>",
                                        "<|tool_response>",
                                        "<" BAR "end" SPACE_MARK "of" SPACE_MARK "sentence" BAR ">",
                                        "[e~["};

/* The end-of-turn token, where the file names none: the first of these that exists. */
static const char *const eot_names[] = {
    "<|eot_id|>",        "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
    "<|end_of_text|>",   "<EOT>",      "_<EOT>",  "[EOT]",         "<" BAR "end" SPACE_MARK "of" SPACE_MARK "sentence" BAR ">",
    "<end_of_utterance>"};
static const char *const eom_names[] = {"<|eom_id|>"};

/* Fill-in-the-middle tokens: the first of each row that exists is a control token. */
typedef struct name_row {
    int ends; /* it also ends a generation */
    const char *names[9];
} name_row;
static const name_row fim_rows[] = {
    {0,
     {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<" BAR "fim" SPACE_MARK "begin" BAR ">", "<PRE>", SPACE_MARK "<PRE>",
      "<|code_prefix|>", "<|prefix|>"}},
    {0,
     {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<" BAR "fim" SPACE_MARK "hole" BAR ">", "<SUF>", SPACE_MARK "<SUF>",
      "<|code_suffix|>", "<|suffix|>"}},
    {0,
     {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<" BAR "fim" SPACE_MARK "end" BAR ">", "<MID>", SPACE_MARK "<MID>",
      "<|code_middle|>", "<|middle|>"}},
    {1, {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}},
    {1, {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
    {1, {"<|file_sep|>"}}};

/* Channel markers that are part of the text. */
static const char *const shown_names[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int32_t find(const llmc_vocabulary *v, const char *name) {
    return llmc_vocabulary_find_name(v, name, strlen(name));
}

static int32_t find_first(const llmc_vocabulary *v, const char *const *names, size_t n) {
    for (size_t i = 0; i < n && names[i]; i++) {
        int32_t id = find(v, names[i]);
        if (id >= 0) return id;
    }
    return -1;
}

static void mark(llmc_vocabulary *v, int32_t id, int attributes) {
    if (id >= 0) v->attributes[id] |= (uint8_t)attributes;
}

static int ends(const llmc_vocabulary *v, const char *name) {
    const int32_t id = find(v, name);
    return id >= 0 && v->attributes[id] & LLMC_ATTR_EOG;
}

/* Two families where a name of the list is not an end: channels ("<|end|>" ends a message, "<|return|>" the answer), and
 * vocabularies with an end of their own beside an ordinary "</s>". */
static void correct_ends(llmc_vocabulary *v) {
    const int call = ends(v, "<|call|>") || ends(v, "<|calls|>");
    if (call && (ends(v, "<|return|>") || ends(v, "<|flush|>")) && ends(v, "<|end|>"))
        v->attributes[find(v, "<|end|>")] = LLMC_ATTR_USER_DEFINED;
    if ((ends(v, "<|tool_response>") || ends(v, "<|plamo:eos|>")) && ends(v, "</s>"))
        v->attributes[find(v, "</s>")] = LLMC_ATTR_NORMAL;
}

static void mark_names(llmc_specials *s, llmc_vocabulary *v) {
    if (s->ids[LLMC_SPECIAL_EOT] < 0) s->ids[LLMC_SPECIAL_EOT] = find_first(v, eot_names, COUNT(eot_names));
    if (s->ids[LLMC_SPECIAL_EOM] < 0) s->ids[LLMC_SPECIAL_EOM] = find_first(v, eom_names, COUNT(eom_names));
    for (size_t i = 0; i < COUNT(fim_rows); i++) {
        const int attributes = LLMC_ATTR_CONTROL | (fim_rows[i].ends ? LLMC_ATTR_EOG : 0);
        mark(v, find_first(v, fim_rows[i].names, COUNT(fim_rows[i].names)), attributes);
    }
    for (size_t i = 0; i < COUNT(eog_names); i++) mark(v, find(v, eog_names[i]), LLMC_ATTR_CONTROL | LLMC_ATTR_EOG);
    for (size_t i = 0; i < COUNT(shown_names); i++) {
        const int32_t id = find(v, shown_names[i]);
        if (id >= 0) v->attributes[id] = LLMC_ATTR_USER_DEFINED;
    }
    mark(v, s->ids[LLMC_SPECIAL_EOS], LLMC_ATTR_EOG);
    mark(v, s->ids[LLMC_SPECIAL_EOT], LLMC_ATTR_EOG);
    mark(v, s->ids[LLMC_SPECIAL_EOM], LLMC_ATTR_EOG);
    correct_ends(v);
}

/* Whether a token swallows white space before or after it. */
static int swallows(llmc_swallow swallow, int attributes, const char *name) {
    static const char *const exceptions[] = {"<unk>", "<s>", "<|endoftext|>"};
    if (swallow == LLMC_SWALLOW_BEFORE_MASK) return strcmp(name, "<mask>") == 0 || strcmp(name, "[MASK]") == 0;
    for (size_t i = 0; i < COUNT(exceptions); i++)
        if (strcmp(exceptions[i], name) == 0) return 0;
    return (attributes & (LLMC_ATTR_CONTROL | LLMC_ATTR_UNKNOWN | LLMC_ATTR_USER_DEFINED)) != 0;
}

static void mark_swallowing(llmc_vocabulary *v, llmc_swallow swallow) {
    for (uint32_t id = 0; swallow && id < v->n_tokens; id++) {
        uint32_t size;
        if (swallows(swallow, v->attributes[id], llmc_vocabulary_name(v, id, &size))) mark(v, (int32_t)id, LLMC_ATTR_SWALLOWS);
    }
}

static llmcall_status read_ids(llmc_specials *s, const llmc_vocabulary *v, const llmc_vocab_source *source,
                               const llmc_model_kind *usual, llmcall_error *error) {
    const struct {
        llmc_special kind;
        int32_t given, usual;
        const char *key;
    } rows[] = {{LLMC_SPECIAL_BOS, source->cls, usual->bos, "tokenizer.ggml.cls_token_id"},
                {LLMC_SPECIAL_BOS, source->bos, usual->bos, "tokenizer.ggml.bos_token_id"},
                {LLMC_SPECIAL_EOS, source->eos, usual->eos, "tokenizer.ggml.eos_token_id"},
                {LLMC_SPECIAL_EOT, source->eot, -1, "tokenizer.ggml.eot_token_id"},
                {LLMC_SPECIAL_EOM, source->eom, -1, "tokenizer.ggml.eom_token_id"},
                {LLMC_SPECIAL_UNK, source->unk, usual->unk, "tokenizer.ggml.unknown_token_id"},
                {LLMC_SPECIAL_PAD, source->pad, usual->pad, "tokenizer.ggml.padding_token_id"},
                {LLMC_SPECIAL_SEP, source->sep, usual->sep, "tokenizer.ggml.seperator_token_id"}}; /* so spelled in GGUF */
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (rows[i].given < -1 || (int64_t)rows[i].given >= v->n_tokens)
            return llmc_fail(error, LLMCALL_E_FORMAT, NULL, rows[i].key, "special token %d is not among the %u tokens",
                             rows[i].given, v->n_tokens);
        const int32_t usual_id = i && rows[i - 1].kind == rows[i].kind ? s->ids[rows[i].kind] : rows[i].usual;
        const int32_t id = rows[i].given >= 0 ? rows[i].given : usual_id;
        s->ids[rows[i].kind] = (int64_t)id < v->n_tokens ? id : -1;
    }
    return LLMCALL_OK;
}

/* ---- Search ------------------------------------------------------------------------------------------------------------ */

/* The child of a node for a byte, or 0. */
static uint32_t child_of(const llmc_specials *s, uint32_t node, uint8_t byte) {
    uint32_t child = s->nodes[node].child;
    while (child && s->nodes[child].byte != byte) child = s->nodes[child].sibling;
    return child;
}

static uint32_t new_node(llmc_specials *s, const llmc_env *env, uint32_t parent, uint8_t byte) {
    void *block = s->nodes;
    if (!llmc_grow(env, &block, &s->node_capacity, s->n_nodes + 1, sizeof *s->nodes, INT32_MAX)) return 0;
    s->nodes = block;
    const uint32_t node = (uint32_t)s->n_nodes++;
    s->nodes[node] = (llmc_trie_node){0, 0, -1, -1, byte};
    if (node) {
        s->nodes[node].sibling = s->nodes[parent].child;
        s->nodes[parent].child = node;
    }
    return node;
}

static int add_special(llmc_specials *s, const llmc_env *env, const char *text, uint32_t size, int32_t id, int user) {
    uint32_t node = 0;
    for (uint32_t i = 0; i < size; i++) {
        uint32_t child = child_of(s, node, (uint8_t)text[i]);
        if (!child) child = new_node(s, env, node, (uint8_t)text[i]);
        if (!child) return 0;
        node = child;
    }
    s->nodes[node].any = id;
    if (user) s->nodes[node].user = id;
    s->starts[(uint8_t)text[0]] |= user ? 3 : 1;
    s->any_user |= user;
    return 1;
}

static llmcall_status build_trie(llmc_specials *s, const llmc_vocabulary *v, llmcall_error *error) {
    const int special = LLMC_ATTR_CONTROL | LLMC_ATTR_UNKNOWN;
    new_node(s, v->env, 0, 0);
    if (!s->n_nodes) return llmc_fail_memory(error, "the special tokens");
    for (uint32_t id = 0; id < v->n_tokens; id++) {
        const int attributes = v->attributes[id];
        uint32_t size;
        if (!(attributes & (special | LLMC_ATTR_USER_DEFINED))) continue;
        const char *name = llmc_vocabulary_name(v, id, &size);
        if (size > LLMC_VOCAB_MAX_SPECIAL)
            return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_TOKENS,
                             "token %u is a special token with a text of %u bytes; at most %d are served", id, size,
                             LLMC_VOCAB_MAX_SPECIAL);
        if (!add_special(s, v->env, name, size, (int32_t)id, !(attributes & special)))
            return llmc_fail_memory(error, "the special tokens");
    }
    return LLMCALL_OK;
}

llmcall_status llmc_specials_init(llmc_specials *s, llmc_vocabulary *v, const llmc_vocab_source *source,
                                  const llmc_model_kind *kind, llmcall_error *error) {
    memset(s, 0, sizeof *s);
    llmcall_status status = read_ids(s, v, source, kind, error);
    if (status) return status;
    mark_names(s, v);
    s->swallow = source->swallow;
    mark_swallowing(v, s->swallow);
    return build_trie(s, v, error);
}

void llmc_specials_free(llmc_specials *s, const llmc_env *env) {
    llmc_free(env, s->nodes);
    s->nodes = NULL;
}

/* A set of 64-bit numbers, the lowest first. */
typedef struct heap64 {
    uint64_t *items;
    size_t n, capacity;
} heap64;

static int heap64_push(heap64 *h, const llmc_env *env, uint64_t item) {
    void *block = h->items;
    if (!llmc_grow(env, &block, &h->capacity, h->n + 1, sizeof item, PTRDIFF_MAX / sizeof item)) return 0;
    h->items = block;
    size_t at = h->n++;
    for (size_t parent; at && item < h->items[parent = (at - 1) / 2]; at = parent) h->items[at] = h->items[parent];
    h->items[at] = item;
    return 1;
}

static uint64_t heap64_pop(heap64 *h) {
    const uint64_t top = h->items[0], item = h->items[--h->n];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < h->n; at = child) {
        if (child + 1 < h->n && h->items[child + 1] < h->items[child]) child++;
        if (item <= h->items[child]) break;
        h->items[at] = h->items[child];
    }
    h->items[at] = item;
    return top;
}

typedef struct finder {
    const llmc_specials *specials;
    const llmc_env *env;
    const char *text;
    size_t size;
    const uint8_t *shields; /* or NULL */
    int parse_control;
    uint8_t *taken;    /* one a byte of text */
    heap64 candidates; /* longest token first, then lowest id, then leftmost */
    heap64 accepted;   /* leftmost first */
} finder;

/* Both orders in 63 bits: sizes take 9, ids 24, offsets 30. */
static uint64_t candidate_key(uint32_t at, uint32_t size, int32_t id) {
    return (uint64_t)(LLMC_VOCAB_MAX_SPECIAL - size) << 54 | (uint64_t)(uint32_t)id << 30 | at;
}
static uint64_t accepted_key(uint32_t at, uint32_t size, int32_t id) {
    return (uint64_t)at << 33 | (uint64_t)size << 24 | (uint32_t)id;
}

/* Whether the character that holds the byte at an offset has a shield after it. */
static int shielded(const finder *f, size_t at) {
    if (!f->shields) return 0;
    do at++;
    while (at < f->size && ((uint8_t)f->text[at] & 0xc0) == 0x80);
    return f->shields[at];
}

/* The longest token at an offset that takes at most room bytes becomes a candidate. Returns 0 if memory ran out. */
static int propose(finder *f, size_t at, size_t room) {
    const llmc_specials *s = f->specials;
    int control = f->parse_control && !shielded(f, at);
    uint32_t best = 0;
    int32_t id = -1;
    uint32_t node = 0;
    for (uint32_t i = 0; i < room; i++) {
        node = child_of(s, node, (uint8_t)f->text[at + i]);
        if (!node) break;
        if (f->shields && i && f->shields[at + i]) control = 0;
        const int32_t here = control ? s->nodes[node].any : s->nodes[node].user;
        if (here < 0) continue;
        id = here;
        best = i + 1;
    }
    return id < 0 || heap64_push(&f->candidates, f->env, candidate_key((uint32_t)at, best, id));
}

static int propose_all(finder *f) {
    const uint8_t wanted = f->parse_control ? 1 : 2;
    for (size_t at = 0; at < f->size; at++) {
        if (!(f->specials->starts[(uint8_t)f->text[at]] & wanted)) continue;
        if (!propose(f, at, f->size - at)) return 0;
    }
    return 1;
}

static size_t room_at(const finder *f, size_t at, size_t size) {
    size_t room = 0;
    while (room < size && !f->taken[at + room]) room++;
    return room;
}

static int settle(finder *f) {
    while (f->candidates.n) {
        const uint64_t key = heap64_pop(&f->candidates);
        const uint32_t size = LLMC_VOCAB_MAX_SPECIAL - (uint32_t)(key >> 54);
        const size_t at = key & ((1u << 30) - 1);
        const int32_t id = (int32_t)(key >> 30 & 0xffffff);
        const size_t room = room_at(f, at, size);
        if (room == size) {
            memset(f->taken + at, 1, size);
            if (!heap64_push(&f->accepted, f->env, accepted_key((uint32_t)at, size, id))) return 0;
        } else if (room && !propose(f, at, room)) {
            return 0;
        }
    }
    return 1;
}

static int collect(finder *f, llmc_occurrence **found, size_t *n) {
    llmc_occurrence *list = llmc_alloc_array(f->env, f->accepted.n, sizeof *list);
    if (!list) return 0;
    *found = list;
    *n = f->accepted.n;
    for (size_t i = 0; i < *n; i++) {
        const uint64_t key = heap64_pop(&f->accepted);
        list[i] = (llmc_occurrence){(uint32_t)(key >> 33), (uint32_t)(key >> 24 & 0x1ff), (int32_t)(key & 0xffffff)};
    }
    return 1;
}

int llmc_specials_control_at(const llmc_specials *s, const char *text, size_t size) {
    uint32_t node = 0;
    if (size == 0 || !s->starts[(uint8_t)text[0]]) return 0;
    for (size_t i = 0; i < size; i++) {
        node = child_of(s, node, (uint8_t)text[i]);
        if (!node) return 0;
        if (s->nodes[node].any >= 0 && s->nodes[node].user < 0) return 1;
    }
    return 0;
}

llmcall_status llmc_specials_find(const llmc_specials *s, const llmc_env *env, const char *text, size_t size,
                                  const uint8_t *shields, int parse_control, llmc_occurrence **found, size_t *n) {
    finder f = {s, env, text, size, shields, parse_control, NULL, {0}, {0}};
    *found = NULL;
    *n = 0;
    if (!parse_control && !s->any_user) return LLMCALL_OK;
    int ok = propose_all(&f);
    if (ok && f.candidates.n) {
        f.taken = llmc_zalloc(env, size);
        ok = f.taken && settle(&f) && collect(&f, found, n);
    }
    llmc_free(env, f.candidates.items);
    llmc_free(env, f.accepted.items);
    llmc_free(env, f.taken);
    return ok ? LLMCALL_OK : LLMCALL_E_NO_MEMORY;
}
