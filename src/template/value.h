/* The values that templates compute with, and the calls that build them from outside: a conversation, tools, any JSON-like
 * tree. A value is 16 bytes; what it points to lives in an arena (or in the caller's own memory, for texts) and never
 * changes, except for namespaces. */
#ifndef LLMC_TEMPLATE_VALUE_H
#define LLMC_TEMPLATE_VALUE_H

#include "template/arena.h"
#include "template/template.h"

typedef enum llmc_value_type {
    LLMC_UNDEFINED, /* text: what was looked up; kind: the owner's type + 1, or 0 for a name */
    LLMC_NONE,
    LLMC_BOOL,
    LLMC_INT,
    LLMC_FLOAT,
    LLMC_STRING,
    LLMC_LIST, /* kind: LLMC_KIND_* */
    LLMC_DICT,
    LLMC_NAMESPACE, /* a dict that {% set ns.x = ... %} may change */
    LLMC_LOOP,
    LLMC_MACRO,
    LLMC_FUNCTION,
    LLMC_METHOD,
    LLMC_CYCLER,
    LLMC_JOINER,
    LLMC_MISSING /* an argument that was not given; never seen by templates */
} llmc_value_type;

/* Python's sequences and iterators differ in how they print, compare, count and test true. */
enum {
    LLMC_KIND_LIST,
    LLMC_KIND_TUPLE,
    LLMC_KIND_RANGE, /* behind its items lie three more: start, stop and step */
    LLMC_KIND_ITEMS, /* views of a dict */
    LLMC_KIND_KEYS,
    LLMC_KIND_VALUES,
    LLMC_KIND_GENERATOR /* gives its items once */
};
enum { LLMC_KIND_PLAIN, LLMC_KIND_MARKUP }; /* of strings */
enum { LLMC_GROUP = 1 };
enum { LLMC_KIND_UNSAFE = 255 }; /* of undefined: what the sandbox hides */

typedef struct llmc_list llmc_list;
typedef struct llmc_dict llmc_dict;
typedef struct llmc_loop llmc_loop;
typedef struct llmc_macro llmc_macro;
typedef struct llmc_method llmc_method;
typedef struct llmc_builtin llmc_builtin;
typedef struct llmc_cycler llmc_cycler;

typedef struct llmc_value {
    uint8_t type;
    uint8_t kind;
    uint16_t reserved; /* LLMC_GROUP: a tuple of groupby, with attributes; of what the sandbox hides: the owner's type */
    uint32_t size;     /* bytes of text */
    union {
        const char *text; /* not NUL-terminated */
        int64_t integer;
        double real;
        int truth;
        llmc_list *list;
        llmc_dict *dict; /* LLMC_DICT, LLMC_NAMESPACE */
        llmc_loop *loop;
        const llmc_macro *macro;
        const llmc_builtin *function;
        const llmc_method *method;
        llmc_cycler *cycler; /* LLMC_CYCLER, LLMC_JOINER */
    } as;
} llmc_value;

struct llmc_list {
    llmc_value *items;
    uint32_t count;
    uint32_t capacity;
};

typedef struct llmc_dict_entry {
    llmc_value key;
    llmc_value value;
} llmc_dict_entry;

struct llmc_dict {
    llmc_dict_entry *entries; /* in order of insertion */
    uint32_t count;
    uint32_t capacity;
    uint32_t *slots; /* hash table of entry number + 1, NULL while the dict is small */
    uint32_t n_slots;
    uint32_t seed; /* of the hash, so that nobody can choose colliding keys */
};

/* Builders. Those that allocate return 0 when the arena is out of memory. */
llmc_value llmc_value_none(void);
llmc_value llmc_value_bool(int truth);
llmc_value llmc_value_int(int64_t integer);
llmc_value llmc_value_float(double real);
llmc_value llmc_value_text(const char *text, size_t size); /* refers to text; at most UINT32_MAX bytes */
llmc_value llmc_value_literal(const char *text);           /* NUL-terminated; refers to it */
int llmc_value_copy_text(llmc_arena *arena, const char *text, size_t size, llmc_value *out);
int llmc_value_list(llmc_arena *arena, uint32_t capacity, int kind, llmc_value *out);
int llmc_value_append(llmc_arena *arena, llmc_value *list, llmc_value item);
int llmc_value_dict(llmc_arena *arena, uint32_t capacity, llmc_value *out);
int llmc_value_put(llmc_arena *arena, llmc_value *dict, llmc_value key, llmc_value value); /* key: hashable; replaces */

const llmc_value *llmc_value_get(const llmc_value *dict, const llmc_value *key); /* NULL if there is none */
const char *llmc_value_type_name(const llmc_value *value);                       /* as Python says: "str", "dict"; static */
int llmc_value_is(const llmc_value *value, const char *text);                    /* 1 if a string that equals text */
int llmc_value_truth(const llmc_value *value);
int llmc_value_number(const llmc_value *value, double *real); /* 1 for bool, int and float */

/* Python's ==, counted as work; 0 also once the arena has failed. Values nested deeper than LLMC_TEMPLATE_MAX_NESTING count as
 * different. */
int llmc_value_equal(llmc_arena *arena, const llmc_value *a, const llmc_value *b);
int llmc_value_hashable(const llmc_value *value); /* 1 if it can be a key: no list or dict, tuples up to 64 values in all */

/* Renders with these globals: a dict built in an arena of the caller's. For the rest as llmc_template_render. */
llmcall_status llmc_template_render_values(const llmc_template *compiled, const llmc_value *globals, int64_t now_unix_s,
                                           llmc_buffer *out, llmcall_error *error);

#endif
