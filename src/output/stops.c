/* The search for stop strings: one automaton for all of them, linear in the text whatever they are. */
#include <string.h>

#include "core/utf8.h"
#include "output/internal.h"
#include "output/output.h"

static llmcall_status check(const char *const *texts, const size_t *sizes, size_t n, size_t *total, llmcall_error *error) {
    *total = 0;
    if (n > LLMC_OUTPUT_MAX_STOPS) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "stop", "%zu stop strings are more than %d", n,
                         LLMC_OUTPUT_MAX_STOPS);
    }
    for (size_t i = 0; i < n; i++) {
        if (!texts[i] || sizes[i] == 0) {
            return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "stop", "stop string %zu is empty", i);
        }
        if (sizes[i] > LLMC_OUTPUT_MAX_STOP_BYTES - *total) {
            return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "stop", "the stop strings have more than %u bytes together",
                             LLMC_OUTPUT_MAX_STOP_BYTES);
        }
        size_t valid = llmc_utf8_valid_prefix(texts[i], sizes[i]);
        if (valid != sizes[i]) {
            return llmc_fail(error, LLMCALL_E_UTF8, NULL, "stop", "stop string %zu is not UTF-8 at byte %zu", i, valid);
        }
        *total += sizes[i];
    }
    return LLMCALL_OK;
}

static uint32_t find_child(const llmc_stops *stops, uint32_t state, unsigned char byte) {
    uint32_t child = stops->states[state].child;
    while (child != 0 && stops->states[child].byte != byte) child = stops->states[child].sibling;
    return child;
}

static uint32_t add_child(llmc_stops *stops, uint32_t state, unsigned char byte) {
    uint32_t child = stops->n_states++;
    stops->states[child] =
        (llmc_stop_state){.depth = stops->states[state].depth + 1, .sibling = stops->states[state].child, .byte = byte};
    stops->states[state].child = child;
    return child;
}

static void add_text(llmc_stops *stops, const char *text, size_t size) {
    uint32_t state = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t child = find_child(stops, state, (unsigned char)text[i]);
        state = child ? child : add_child(stops, state, (unsigned char)text[i]);
    }
    stops->states[state].match = (uint32_t)size;
}

/* Breadth first, as a state's suffix is shorter than itself; queue has room for every state. */
static void link_suffixes(llmc_stops *stops, uint32_t *queue) {
    llmc_stop_state *states = stops->states;
    size_t head = 0;
    size_t tail = 1;
    queue[0] = 0;
    while (head < tail) {
        uint32_t parent = queue[head++];
        for (uint32_t child = states[parent].child; child != 0; child = states[child].sibling) {
            states[child].fail = parent == 0 ? 0 : llmc_stops_next(stops, states[parent].fail, states[child].byte);
            if (states[child].match == 0) states[child].match = states[states[child].fail].match;
            queue[tail++] = child;
        }
    }
}

llmcall_status llmc_stops_build(llmc_stops *stops, const llmc_env *env, const char *const *texts, const size_t *sizes, size_t n,
                                llmcall_error *error) {
    size_t total;
    memset(stops, 0, sizeof *stops);
    llmcall_status status = check(texts, sizes, n, &total, error);
    if (status != LLMCALL_OK || n == 0) return status;
    stops->states = llmc_zalloc_array(env, total + 1, sizeof *stops->states);
    uint32_t *queue = llmc_alloc_array(env, total + 1, sizeof *queue);
    if (!stops->states || !queue) {
        llmc_free(env, queue);
        llmc_stops_free(stops, env);
        return llmc_fail_memory(error, "stop strings");
    }
    stops->n_states = 1;
    for (size_t i = 0; i < n; i++) add_text(stops, texts[i], sizes[i]);
    link_suffixes(stops, queue);
    llmc_free(env, queue);
    return LLMCALL_OK;
}

void llmc_stops_free(llmc_stops *stops, const llmc_env *env) {
    llmc_free(env, stops->states);
    memset(stops, 0, sizeof *stops);
}

uint32_t llmc_stops_next(const llmc_stops *stops, uint32_t state, unsigned char byte) {
    for (;;) {
        uint32_t child = find_child(stops, state, byte);
        if (child != 0 || state == 0) return child;
        state = stops->states[state].fail;
    }
}
