/* The two machines that text passes through inside this room: bytes to whole characters, and the search for stop strings. */
#ifndef LLMC_OUTPUT_INTERNAL_H
#define LLMC_OUTPUT_INTERNAL_H

#include "core/alloc.h"
#include "core/error.h"

/* ---- Characters: every ill-formed sequence becomes one U+FFFD a maximal subpart (Unicode 15, 3.9, table 3-8), which is what
 * Python's errors="replace" does ---- */

typedef struct llmc_characters {
    unsigned char bytes[4]; /* of the character that is not whole yet */
    unsigned char have;
    unsigned char need; /* bytes of it in all; 0 between characters */
    unsigned char low;  /* what its next byte must be */
    unsigned char high;
} llmc_characters;

enum { LLMC_CHARACTERS_MAX = 6 }; /* bytes that one more byte can bring out: U+FFFD twice */

/* Takes one byte; returns how many bytes of text came out. */
size_t llmc_characters_push(llmc_characters *characters, unsigned char byte, char out[LLMC_CHARACTERS_MAX]);
/* The end: U+FFFD if a character was cut off. */
size_t llmc_characters_finish(llmc_characters *characters, char out[LLMC_CHARACTERS_MAX]);

/* ---- Stop strings: an Aho-Corasick automaton. The depth of a state is how much of the text's end begins a stop string ---- */

typedef struct llmc_stop_state {
    uint32_t fail;    /* state of the longest proper suffix */
    uint32_t depth;   /* bytes from the root */
    uint32_t match;   /* size of the longest stop string that ends here; 0: none */
    uint32_t child;   /* first child; 0: none */
    uint32_t sibling; /* next child of the same parent; at most as many as stop strings */
    unsigned char byte;
} llmc_stop_state;

typedef struct llmc_stops {
    llmc_stop_state *states; /* (n_states), the root first; NULL: no stop strings */
    uint32_t n_states;
} llmc_stops;

llmcall_status llmc_stops_build(llmc_stops *stops, const llmc_env *env, const char *const *texts, const size_t *sizes, size_t n,
                                llmcall_error *error);
void llmc_stops_free(llmc_stops *stops, const llmc_env *env);
/* The state after one more byte; amortised constant time. */
uint32_t llmc_stops_next(const llmc_stops *stops, uint32_t state, unsigned char byte);

#endif
