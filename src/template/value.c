/* Building, looking up and comparing template values. */
#include "template/value.h"

#include <string.h>

#define SMALL_DICT 8u /* entries up to which a scan is faster than hashing */

static const char *const TYPE_NAMES[] = {"Undefined", "NoneType", "bool",      "int",         "float", "str",
                                         "list",      "dict",     "Namespace", "LoopContext", "Macro", "function",
                                         "method",    "Cycler",   "Joiner",    "missing"};
static const char *const LIST_NAMES[] = {"list", "tuple", "range", "dict_items", "dict_keys", "dict_values", "generator"};

llmc_value llmc_value_none(void) {
    return (llmc_value){.type = LLMC_NONE};
}

llmc_value llmc_value_bool(int truth) {
    return (llmc_value){.type = LLMC_BOOL, .as.integer = truth != 0};
}

llmc_value llmc_value_int(int64_t integer) {
    return (llmc_value){.type = LLMC_INT, .as.integer = integer};
}

llmc_value llmc_value_float(double real) {
    return (llmc_value){.type = LLMC_FLOAT, .as.real = real};
}

llmc_value llmc_value_text(const char *text, size_t size) {
    return (llmc_value){
        .type = LLMC_STRING, .size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size, .as.text = size ? text : ""};
}

llmc_value llmc_value_literal(const char *text) {
    return llmc_value_text(text, strlen(text));
}

int llmc_value_copy_text(llmc_arena *arena, const char *text, size_t size, llmc_value *out) {
    char *copy = llmc_arena_text(arena, size);
    if (!copy) return 0;
    if (size) memcpy(copy, text, size);
    *out = llmc_value_text(copy, size);
    return 1;
}

int llmc_value_list(llmc_arena *arena, uint32_t capacity, int kind, llmc_value *out) {
    llmc_list *list = llmc_arena_alloc(arena, sizeof *list);
    llmc_value *items = list && capacity ? llmc_arena_array(arena, capacity, sizeof *items) : NULL;
    if (!list || (capacity && !items)) return 0;
    *list = (llmc_list){.items = items, .capacity = capacity};
    *out = (llmc_value){.type = LLMC_LIST, .kind = (uint8_t)kind, .as.list = list};
    return 1;
}

int llmc_value_append(llmc_arena *arena, llmc_value *value, llmc_value item) {
    llmc_list *list = value->as.list;
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? list->capacity * 2 : 4;
        llmc_value *items = llmc_arena_array(arena, capacity, sizeof *items);
        if (!items) return 0;
        if (list->count) memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return 1;
}

int llmc_value_dict(llmc_arena *arena, uint32_t capacity, llmc_value *out) {
    llmc_dict *dict = llmc_arena_alloc(arena, sizeof *dict);
    llmc_dict_entry *entries = dict && capacity ? llmc_arena_array(arena, capacity, sizeof *entries) : NULL;
    if (!dict || (capacity && !entries)) return 0;
    *dict = (llmc_dict){.entries = entries, .capacity = capacity, .seed = (uint32_t)((uintptr_t)dict >> 4)};
    *out = (llmc_value){.type = LLMC_DICT, .as.dict = dict};
    return 1;
}

static uint64_t hash_into(uint64_t hash, const llmc_value *key) {
    double real = 0;
    if (key->type == LLMC_STRING) {
        for (uint32_t i = 0; i < key->size; i++) hash = (hash ^ (uint8_t)key->as.text[i]) * 1099511628211u;
    } else if (llmc_value_number(key, &real)) {
        int64_t whole = real > -1e18 && real < 1e18 ? (int64_t)real : 0;
        hash = (hash ^ (uint64_t)whole) * 0x9E3779B97F4A7C15u;
    } else if (key->type == LLMC_LIST) {
        for (uint32_t i = 0; i < key->as.list->count; i++) hash = hash_into(hash * 31, &key->as.list->items[i]);
    }
    return hash;
}

/* Equal keys hash alike: 1, 1.0 and True do. */
static uint32_t hash_key(const llmc_value *key, uint32_t seed) {
    uint64_t hash = hash_into(14695981039346656037u ^ seed, key);
    return (uint32_t)(hash ^ (hash >> 32));
}

static int equal_keys(const llmc_value *a, const llmc_value *b);

static llmc_dict_entry *find_entry(const llmc_dict *dict, const llmc_value *key) {
    if (!dict->slots) {
        for (uint32_t i = 0; i < dict->count; i++) {
            if (equal_keys(&dict->entries[i].key, key)) return &dict->entries[i];
        }
        return NULL;
    }
    uint32_t mask = dict->n_slots - 1;
    for (uint32_t at = hash_key(key, dict->seed) & mask; dict->slots[at]; at = (at + 1) & mask) {
        llmc_dict_entry *entry = &dict->entries[dict->slots[at] - 1];
        if (equal_keys(&entry->key, key)) return entry;
    }
    return NULL;
}

static void enter_slot(llmc_dict *dict, uint32_t number) {
    uint32_t mask = dict->n_slots - 1;
    uint32_t at = hash_key(&dict->entries[number].key, dict->seed) & mask;
    while (dict->slots[at]) at = (at + 1) & mask;
    dict->slots[at] = number + 1;
}

static int grow_dict(llmc_arena *arena, llmc_dict *dict) {
    uint32_t capacity = dict->capacity ? dict->capacity * 2 : 4;
    llmc_dict_entry *entries = llmc_arena_array(arena, capacity, sizeof *entries);
    if (!entries) return 0;
    if (dict->count) memcpy(entries, dict->entries, dict->count * sizeof *entries);
    dict->entries = entries;
    dict->capacity = capacity;
    return 1;
}

static int index_dict(llmc_arena *arena, llmc_dict *dict) {
    if (dict->count < SMALL_DICT || dict->count * 2 < dict->n_slots) return 1;
    uint32_t n_slots = dict->n_slots ? dict->n_slots * 2 : SMALL_DICT * 4;
    uint32_t *slots = llmc_arena_array(arena, n_slots, sizeof *slots);
    if (!slots) return 0;
    memset(slots, 0, n_slots * sizeof *slots);
    dict->slots = slots;
    dict->n_slots = n_slots;
    for (uint32_t i = 0; i < dict->count; i++) enter_slot(dict, i);
    return 1;
}

int llmc_value_put(llmc_arena *arena, llmc_value *value, llmc_value key, llmc_value item) {
    llmc_dict *dict = value->as.dict;
    if (!llmc_arena_work(arena, 16 + (key.type == LLMC_STRING ? key.size / 16 : 0))) return 0;
    llmc_dict_entry *entry = find_entry(dict, &key);
    if (entry) {
        entry->value = item;
        return 1;
    }
    if (dict->count == dict->capacity && !grow_dict(arena, dict)) return 0;
    if (!index_dict(arena, dict)) return 0;
    dict->entries[dict->count++] = (llmc_dict_entry){key, item};
    if (dict->slots) enter_slot(dict, dict->count - 1);
    return 1;
}

const llmc_value *llmc_value_get(const llmc_value *dict, const llmc_value *key) {
    const llmc_dict_entry *entry = find_entry(dict->as.dict, key);
    return entry ? &entry->value : NULL;
}

const char *llmc_value_type_name(const llmc_value *value) {
    return value->type == LLMC_LIST ? LIST_NAMES[value->kind] : TYPE_NAMES[value->type];
}

int llmc_value_is(const llmc_value *value, const char *text) {
    return value->type == LLMC_STRING && value->size == strlen(text) && memcmp(value->as.text, text, value->size) == 0;
}

int llmc_value_truth(const llmc_value *value) {
    switch (value->type) {
    case LLMC_UNDEFINED:
    case LLMC_NONE:
    case LLMC_MISSING:
        return 0;
    case LLMC_BOOL:
    case LLMC_INT:
        return value->as.integer != 0;
    case LLMC_FLOAT:
        return value->as.real < 0 || value->as.real > 0 || value->as.real != value->as.real;
    case LLMC_STRING:
        return value->size != 0;
    case LLMC_LIST:
        return value->kind == LLMC_KIND_GENERATOR || value->as.list->count != 0;
    case LLMC_DICT:
        return value->as.dict->count != 0;
    default:
        return 1;
    }
}

int llmc_value_number(const llmc_value *value, double *real) {
    if (value->type == LLMC_FLOAT) *real = value->as.real;
    else if (value->type == LLMC_INT || value->type == LLMC_BOOL) *real = (double)value->as.integer;
    else return 0;
    return 1;
}

static int hashable_within(const llmc_value *value, uint32_t *left) {
    if (*left == 0 || value->type == LLMC_DICT || (value->type == LLMC_LIST && value->kind != LLMC_KIND_TUPLE)) return 0;
    --*left;
    if (value->type != LLMC_LIST) return 1;
    for (uint32_t i = 0; i < value->as.list->count; i++) {
        if (!hashable_within(&value->as.list->items[i], left)) return 0;
    }
    return 1;
}

int llmc_value_hashable(const llmc_value *value) {
    uint32_t left = LLMC_TEMPLATE_MAX_NESTING;
    return hashable_within(value, &left);
}

/* Scalars, tuples of them, and what is equal only to itself. */
static int equal_keys(const llmc_value *a, const llmc_value *b) {
    double x = 0, y = 0;
    if (a->type <= LLMC_NONE) return a->type == b->type;
    if (a->type != LLMC_FLOAT && b->type != LLMC_FLOAT && llmc_value_number(a, &x) && llmc_value_number(b, &y)) {
        return a->as.integer == b->as.integer;
    }
    if (llmc_value_number(a, &x)) return llmc_value_number(b, &y) && x >= y && x <= y;
    if (a->type != b->type) return 0;
    if (a->type == LLMC_STRING) return a->size == b->size && memcmp(a->as.text, b->as.text, a->size) == 0;
    if (a->type != LLMC_LIST || a->as.list == b->as.list) return a->as.text == b->as.text;
    if (a->kind != b->kind || a->as.list->count != b->as.list->count) return 0;
    for (uint32_t i = 0; i < a->as.list->count; i++) {
        if (!equal_keys(&a->as.list->items[i], &b->as.list->items[i])) return 0;
    }
    return 1;
}

static int equal_at(llmc_arena *arena, const llmc_value *a, const llmc_value *b, int depth);

/* Views are equal where Python's are: keys as sets and items as sets; values never. */
static int equal_views(llmc_arena *arena, const llmc_list *x, const llmc_list *y, int depth) {
    for (uint32_t i = 0; i < x->count; i++) {
        int found = 0;
        for (uint32_t j = 0; j < y->count && !found; j++) found = equal_at(arena, &x->items[i], &y->items[j], depth + 1);
        if (!found) return 0;
    }
    return 1;
}

static int equal_lists(llmc_arena *arena, const llmc_value *a, const llmc_value *b, int depth) {
    if (a->as.list == b->as.list) return 1;
    if (a->kind != b->kind || a->kind >= LLMC_KIND_VALUES || a->as.list->count != b->as.list->count) return 0;
    if (a->kind >= LLMC_KIND_ITEMS) return equal_views(arena, a->as.list, b->as.list, depth);
    for (uint32_t i = 0; i < a->as.list->count; i++) {
        if (!equal_at(arena, &a->as.list->items[i], &b->as.list->items[i], depth + 1)) return 0;
    }
    return 1;
}

static int equal_dicts(llmc_arena *arena, const llmc_value *a, const llmc_value *b, int depth) {
    if (a->as.dict == b->as.dict) return 1;
    if (a->as.dict->count != b->as.dict->count) return 0;
    for (uint32_t i = 0; i < a->as.dict->count; i++) {
        const llmc_value *other = llmc_value_get(b, &a->as.dict->entries[i].key);
        if (!other || !equal_at(arena, &a->as.dict->entries[i].value, other, depth + 1)) return 0;
    }
    return 1;
}

static int equal_at(llmc_arena *arena, const llmc_value *a, const llmc_value *b, int depth) {
    if (depth > LLMC_TEMPLATE_MAX_NESTING || !llmc_arena_work(arena, 2 + (a->type == LLMC_STRING ? a->size / 16 : 0))) return 0;
    if (a->type != b->type) return equal_keys(a, b);
    if (a->type == LLMC_LIST) return equal_lists(arena, a, b, depth);
    if (a->type == LLMC_DICT) return equal_dicts(arena, a, b, depth);
    return equal_keys(a, b);
}

int llmc_value_equal(llmc_arena *arena, const llmc_value *a, const llmc_value *b) {
    return equal_at(arena, a, b, 0);
}
