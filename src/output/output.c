/* The text of one choice: what may be sent, what is held back, and where a stop string ended it. */
#include "output/output.h"

#include <string.h>

#include "core/utf8.h"
#include "output/internal.h"

enum { ROOM = 1024, NO_MATCH = -1 };

struct llmc_output {
    const llmc_env *env;
    llmc_stops stops;
    llmc_characters characters;
    char *text; /* ready bytes, then those held back; a NUL after them when asked for */
    size_t capacity;
    size_t size;
    size_t ready;
    uint32_t state; /* of the stop automaton, after text */
    int64_t match;  /* offset in text of a complete stop string that an earlier one may still take over, or NO_MATCH */
    int stopped;
    int finished;
};

static int reserve(llmc_output *output, size_t more) {
    size_t need = output->size + more + 1;
    if (need <= output->capacity) return 1;
    void *block = output->text;
    if (!llmc_grow(output->env, &block, &output->capacity, need, 1, LLMC_OUTPUT_MAX_TEXT_BYTES)) return 0;
    output->text = block;
    return 1;
}

llmcall_status llmc_output_create(const llmc_env *env, const char *const *stops, const size_t *stop_sizes, size_t n_stops,
                                  llmc_output **out, llmcall_error *error) {
    *out = NULL;
    llmc_output *output = llmc_zalloc(env, sizeof *output);
    if (!output) return llmc_fail_memory(error, "output");
    output->env = env;
    output->match = NO_MATCH;
    llmcall_status status = llmc_stops_build(&output->stops, env, stops, stop_sizes, n_stops, error);
    size_t longest = 0;
    for (size_t i = 0; status == LLMCALL_OK && i < n_stops; i++) longest = stop_sizes[i] > longest ? stop_sizes[i] : longest;
    if (status == LLMCALL_OK && !reserve(output, longest + ROOM)) status = llmc_fail_memory(error, "output text");
    if (status != LLMCALL_OK) {
        llmc_output_destroy(&output);
        return status;
    }
    output->text[0] = 0;
    *out = output;
    return LLMCALL_OK;
}

void llmc_output_destroy(llmc_output **output) {
    if (!output || !*output) return;
    const llmc_env *env = (*output)->env;
    llmc_stops_free(&(*output)->stops, env);
    llmc_free(env, (*output)->text);
    llmc_free(env, *output);
    *output = NULL;
}

/* Where the text ends for good: at the stop string that begins first. */
static void stop_at(llmc_output *output, size_t offset) {
    output->size = offset;
    output->stopped = 1;
}

/* One byte of text through the automaton. What its state holds, text[size - depth ..], is the longest end of the text that
 * begins a stop string: a match is final once nothing that began before it is still under way. */
static void advance(llmc_output *output, unsigned char byte) {
    const llmc_stop_state *states = output->stops.states;
    output->text[output->size++] = (char)byte;
    if (!states) return;
    output->state = llmc_stops_next(&output->stops, output->state, byte);
    const llmc_stop_state *state = &states[output->state];
    if (state->match > 0) {
        int64_t start = (int64_t)(output->size - state->match);
        if (output->match == NO_MATCH || start < output->match) output->match = start;
    }
    if (output->match != NO_MATCH && (int64_t)(output->size - state->depth) >= output->match) {
        stop_at(output, (size_t)output->match);
    }
}

/* After whole characters only: depth 0 and every start of a stop string are between characters. */
static void settle_ready(llmc_output *output) {
    size_t held = output->stops.states && !output->stopped && !output->finished ? output->stops.states[output->state].depth : 0;
    output->ready = output->size - held;
    output->text[output->size] = 0;
}

static void advance_all(llmc_output *output, const char *text, size_t size) {
    for (size_t i = 0; i < size && !output->stopped; i++) advance(output, (unsigned char)text[i]);
}

llmcall_status llmc_output_push(llmc_output *output, const char *bytes, size_t size, int *stopped) {
    if (stopped) *stopped = output->stopped;
    if (output->stopped || output->finished) return LLMCALL_OK;
    if (size > LLMC_OUTPUT_MAX_TEXT_BYTES / LLMC_CHARACTERS_MAX) return LLMCALL_E_BUFFER;
    size_t more = size * 3 + LLMC_CHARACTERS_MAX; /* a byte becomes U+FFFD at worst, and one more may be owed from before */
    if (output->size + more + 1 > LLMC_OUTPUT_MAX_TEXT_BYTES) return LLMCALL_E_BUFFER;
    if (!reserve(output, more)) return LLMCALL_E_NO_MEMORY;
    for (size_t i = 0; i < size && !output->stopped; i++) {
        char text[LLMC_CHARACTERS_MAX];
        advance_all(output, text, llmc_characters_push(&output->characters, (unsigned char)bytes[i], text));
    }
    settle_ready(output);
    if (stopped) *stopped = output->stopped;
    return LLMCALL_OK;
}

const char *llmc_output_ready(const llmc_output *output, size_t *size) {
    *size = output->ready;
    return output->text;
}

void llmc_output_take(llmc_output *output) {
    if (output->ready == 0) return;
    output->size -= output->ready;
    memmove(output->text, output->text + output->ready, output->size);
    output->text[output->size] = 0;
    if (output->match != NO_MATCH) output->match -= (int64_t)output->ready;
    output->ready = 0;
}

llmcall_status llmc_output_finish(llmc_output *output) {
    if (output->stopped || output->finished) return LLMCALL_OK;
    if (!reserve(output, LLMC_CHARACTERS_MAX)) return LLMCALL_E_NO_MEMORY;
    char text[LLMC_CHARACTERS_MAX];
    advance_all(output, text, llmc_characters_finish(&output->characters, text));
    if (!output->stopped && output->match != NO_MATCH) stop_at(output, (size_t)output->match);
    output->finished = 1;
    settle_ready(output);
    return LLMCALL_OK;
}

int llmc_output_stopped(const llmc_output *output) {
    return output->stopped;
}
