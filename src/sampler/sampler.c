/* The sampler of one choice: what was seen, what is biased, and the order in which a row of logits becomes a token: report,
 * mask, bias, penalties, then greedy, or temperature, top-k, top-p, min-p and the draw. */
#include "sampler/sampler.h"

#include <math.h>
#include <string.h>

#include "sampler/parts.h"

static const float least_temperature = 1e-6f; /* below, the quotient would leave the range of floats; nothing differs by then */

typedef struct seen_token {
    uint32_t answered; /* times in the answer */
    uint32_t listed;   /* 1: is in seen */
} seen_token;

struct llmc_sampler {
    const llmc_env *env;
    llmc_sampler_params params; /* bias points to our copy */
    llmcall_logit_bias *bias;
    uint32_t n_vocab;
    uint32_t choice;
    uint32_t n_seen;
    uint32_t *seen;     /* (n_vocab) distinct tokens of prompt and answer, in order of appearance; NULL: no penalty asks */
    seen_token *counts; /* (n_vocab) */
    const llmc_sampler_passes *passes;
    size_t capacity; /* candidates that spare and ids are meant for; both have room for a block more */
    float *spare;    /* logits or weights of candidates; NULL: no filter asks */
    uint32_t *ids;   /* their tokens */
    float *raw;      /* (n_vocab) the model's own logits, for the log-probabilities; NULL: not asked */
};

void llmc_sampler_params_defaults(llmc_sampler_params *params) {
    *params = (llmc_sampler_params){.temperature = 1.0f, .top_p = 1.0f, .repetition_penalty = 1.0f};
}

/* ---- Making ---- */

/* Turns what is out of range into "off", so that the rest need not ask. NaN compares false. */
static void settle(llmc_sampler_params *params, uint32_t n_vocab) {
    if (!(params->temperature > 0.0f)) params->temperature = 0.0f;
    if (params->temperature > 0.0f && params->temperature < least_temperature) params->temperature = least_temperature;
    if (!(params->top_p < 1.0f)) params->top_p = 1.0f;
    if (params->top_p < 0.0f) params->top_p = 0.0f;
    if (!(params->min_p > 0.0f)) params->min_p = 0.0f;
    if (params->min_p > 1.0f) params->min_p = 1.0f;
    if (!isfinite(params->presence_penalty)) params->presence_penalty = 0.0f;
    if (!isfinite(params->frequency_penalty)) params->frequency_penalty = 0.0f;
    if (!isfinite(params->repetition_penalty) || !(params->repetition_penalty > 0.0f)) params->repetition_penalty = 1.0f;
    if (params->top_k < 0 || (uint32_t)params->top_k >= n_vocab) params->top_k = 0;
    if (!params->logprobs || params->top_logprobs < 0) params->top_logprobs = 0;
    if (params->top_logprobs > LLMC_SAMPLER_MAX_TOP) params->top_logprobs = LLMC_SAMPLER_MAX_TOP;
}

static int has_penalty(const llmc_sampler_params *params) {
    return params->presence_penalty != 0.0f || params->frequency_penalty != 0.0f || params->repetition_penalty != 1.0f;
}

/* Of a whole row only those near the end of the nucleus, or above min_p, are looked at one by one; with more than an eighth of
 * it another way is as fast. */
static size_t candidates_needed(const llmc_sampler_params *params, uint32_t n_vocab) {
    if (params->temperature == 0.0f) return 0;
    if (params->top_k > 0) return (size_t)params->top_k;
    return params->top_p < 1.0f || params->min_p > 0.0f ? n_vocab / 8 : 0;
}

static int take_memory(llmc_sampler *sampler) {
    const llmc_env *env = sampler->env;
    const llmc_sampler_params *params = &sampler->params;
    size_t n_vocab = sampler->n_vocab;
    sampler->capacity = candidates_needed(params, sampler->n_vocab);
    size_t room = sampler->capacity + LLMC_SAMPLER_BLOCK;
    if (has_penalty(params)) {
        sampler->seen = llmc_alloc_array(env, n_vocab, sizeof *sampler->seen);
        sampler->counts = llmc_zalloc_array(env, n_vocab, sizeof *sampler->counts);
        if (!sampler->seen || !sampler->counts) return 0;
    }
    if (params->temperature > 0.0f && (params->top_k > 0 || params->top_p < 1.0f || params->min_p > 0.0f)) {
        sampler->spare = llmc_alloc_array(env, room, sizeof *sampler->spare);
        sampler->ids = llmc_alloc_array(env, room, sizeof *sampler->ids);
        if (!sampler->spare || !sampler->ids) return 0;
    }
    if (params->logprobs) {
        sampler->raw = llmc_alloc_array(env, n_vocab, sizeof *sampler->raw);
        if (!sampler->raw) return 0;
    }
    if (params->n_bias > 0) {
        sampler->bias = llmc_alloc_array(env, params->n_bias, sizeof *sampler->bias);
        if (!sampler->bias) return 0;
        memcpy(sampler->bias, params->bias, params->n_bias * sizeof *sampler->bias);
    }
    return 1;
}

static llmcall_status check(const llmc_sampler_params *params, uint32_t n_vocab, llmcall_error *error) {
    if (n_vocab == 0 || n_vocab > LLMC_SAMPLER_MAX_VOCAB) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "n_vocab", "a vocabulary of %u tokens cannot be sampled from",
                         n_vocab);
    }
    for (size_t i = 0; i < params->n_bias; i++) {
        int32_t token = params->bias[i].token;
        if (token >= 0 && (uint32_t)token < n_vocab) continue;
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "logit_bias", "token %d is outside the vocabulary of %u tokens",
                         token, n_vocab);
    }
    return LLMCALL_OK;
}

llmcall_status llmc_sampler_create(const llmc_env *env, const llmc_sampler_params *params, uint32_t n_vocab, uint32_t choice,
                                   llmc_sampler **out, llmcall_error *error) {
    *out = NULL;
    llmcall_status status = check(params, n_vocab, error);
    if (status != LLMCALL_OK) return status;
    llmc_sampler *sampler = llmc_zalloc(env, sizeof *sampler);
    if (!sampler) return llmc_fail_memory(error, "sampler");
    sampler->env = env;
    sampler->params = *params;
    sampler->n_vocab = n_vocab;
    sampler->choice = choice;
    sampler->passes = llmc_sampler_passes_best();
    settle(&sampler->params, n_vocab);
    if (!take_memory(sampler)) {
        llmc_sampler_destroy(&sampler);
        return llmc_fail_memory(error, "sampler");
    }
    sampler->params.bias = sampler->bias;
    *out = sampler;
    return LLMCALL_OK;
}

void llmc_sampler_destroy(llmc_sampler **sampler) {
    if (!sampler || !*sampler) return;
    const llmc_env *env = (*sampler)->env;
    llmc_free(env, (*sampler)->seen);
    llmc_free(env, (*sampler)->counts);
    llmc_free(env, (*sampler)->spare);
    llmc_free(env, (*sampler)->ids);
    llmc_free(env, (*sampler)->raw);
    llmc_free(env, (*sampler)->bias);
    llmc_free(env, *sampler);
    *sampler = NULL;
}

/* ---- What was seen ---- */

static seen_token *see(llmc_sampler *sampler, int32_t token) {
    if (!sampler->counts || token < 0 || (uint32_t)token >= sampler->n_vocab) return NULL;
    seen_token *count = &sampler->counts[token];
    if (!count->listed) {
        count->listed = 1;
        sampler->seen[sampler->n_seen++] = (uint32_t)token;
    }
    return count;
}

void llmc_sampler_prompt(llmc_sampler *sampler, const int32_t *tokens, size_t n) {
    if (sampler->params.repetition_penalty == 1.0f) return;
    for (size_t i = 0; i < n; i++) see(sampler, tokens[i]);
}

void llmc_sampler_accept(llmc_sampler *sampler, int32_t token) {
    seen_token *count = see(sampler, token);
    if (count && count->answered < UINT32_MAX) count->answered++;
}

/* ---- Log-probabilities: of the logits as the model gave them ---- */

static float logprob_of(float logit, float max, double log_sum) {
    double logprob = (double)logit - (double)max - log_sum;
    return logprob > (double)LLMC_SAMPLER_LOGPROB_FLOOR ? (float)logprob : LLMC_SAMPLER_LOGPROB_FLOOR;
}

static int ranks_before(llmc_sampler_entry a, llmc_sampler_entry b) {
    return a.value > b.value || (a.value == b.value && a.id < b.id);
}

static void sort_falling(llmc_sampler_entry *entries, size_t n) {
    for (size_t i = 1; i < n; i++) {
        llmc_sampler_entry entry = entries[i];
        size_t j = i;
        for (; j > 0 && ranks_before(entry, entries[j - 1]); j--) entries[j] = entries[j - 1];
        entries[j] = entry;
    }
}

/* max: of raw. mass: the sum of the row's masses at temperature 1, or 0 if it is not known. */
static void report(const llmc_sampler *sampler, const float *raw, float max, uint64_t mass, llmc_sample *out) {
    llmc_sampler_entry top[LLMC_SAMPLER_MAX_TOP];
    if (!(max > -INFINITY)) max = 0.0f; /* nothing is possible: all get the floor */
    if (mass == 0) mass = sampler->passes->weigh(raw, sampler->n_vocab, max, 1.0f, NULL, NULL);
    double log_sum = mass > 0 ? llmc_sampler_log((double)mass * 0x1p-40) : 0.0;
    out->logprob = logprob_of(raw[out->token], max, log_sum);
    size_t n_top = llmc_sampler_largest(sampler->passes, raw, sampler->n_vocab, (size_t)sampler->params.top_logprobs, top);
    sort_falling(top, n_top);
    for (size_t i = 0; i < n_top; i++) {
        out->top[i].token = (int32_t)top[i].id;
        out->top[i].logprob = logprob_of(top[i].value, max, log_sum);
    }
    out->n_top = (uint32_t)n_top;
}

/* ---- Mask, bias, penalties ---- */

static int allows(const uint32_t *mask, uint32_t token) {
    return !mask || (mask[token / 32] >> (token % 32) & 1);
}

static void apply_mask(float *logits, uint32_t n_vocab, const uint32_t *mask) {
    for (uint32_t word = 0; word * 32 < n_vocab; word++) {
        if (mask[word] == UINT32_MAX) continue;
        uint32_t end = n_vocab - word * 32 < 32 ? n_vocab - word * 32 : 32;
        for (uint32_t bit = 0; bit < end; bit++) {
            if (!(mask[word] >> bit & 1)) logits[word * 32 + bit] = -INFINITY;
        }
    }
}

/* Repetition as in CTRL (Keskar and others, 2019), with the sign rule that made it usable; presence and frequency as the
 * OpenAI API documents them. */
static void apply_penalties(const llmc_sampler *sampler, float *logits) {
    const llmc_sampler_params *params = &sampler->params;
    for (uint32_t i = 0; i < sampler->n_seen; i++) {
        uint32_t token = sampler->seen[i];
        uint32_t answered = sampler->counts[token].answered;
        float logit = logits[token];
        logit = logit > 0.0f ? logit / params->repetition_penalty : logit * params->repetition_penalty;
        if (answered > 0) logit -= params->presence_penalty + (float)answered * params->frequency_penalty;
        logits[token] = logit;
    }
}

static int adjusts(const llmc_sampler *sampler, const uint32_t *mask) {
    return mask || sampler->params.n_bias > 0 || sampler->n_seen > 0;
}

/* Returns the maximum of the adjusted logits, which are tidy again. */
static float adjust(const llmc_sampler *sampler, float *logits, const uint32_t *mask) {
    const llmc_sampler_params *params = &sampler->params;
    if (mask) apply_mask(logits, sampler->n_vocab, mask);
    for (size_t i = 0; i < params->n_bias; i++) logits[params->bias[i].token] += params->bias[i].bias;
    apply_penalties(sampler, logits);
    return sampler->passes->tidy(logits, sampler->n_vocab);
}

/* ---- The draw ---- */

static const size_t all_equal = SIZE_MAX;

/* A number below mass. */
static uint64_t random_below(const llmc_sampler *sampler, uint64_t position, uint64_t mass) {
    uint64_t random = llmc_sampler_random(sampler->params.seed, sampler->choice, position);
    return (uint64_t)(((unsigned __int128)random * mass) >> 64);
}

static uint64_t target_of(float top_p, uint64_t mass) {
    uint64_t target = (uint64_t)((double)top_p * (double)mass);
    if (target > mass) target = mass;
    return target > 0 ? target : 1;
}

/* Where the masses of what is kept, added up in order, exceed target. */
static size_t walk(const float *weights, size_t n, llmc_sampler_threshold kept, uint64_t target) {
    uint64_t sum = 0;
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(weights[i] >= kept.value)) continue;
        if (weights[i] == kept.value && kept.take-- == 0) {
            kept.take = 0;
            continue;
        }
        uint64_t mass = llmc_sampler_mass(weights[i]);
        sum += mass;
        if (sum > target) return i;
        if (mass > 0) last = i;
    }
    return last;
}

static const llmc_sampler_threshold everything = {0.0f, SIZE_MAX, 0};

/* The chunk that target falls into; *target becomes relative to it. */
static size_t chunk_of(const uint64_t chunks[LLMC_SAMPLER_CHUNKS], uint64_t *target) {
    size_t c = 0;
    for (; c < LLMC_SAMPLER_CHUNKS - 1 && chunks[c] <= *target; c++) *target -= chunks[c];
    return c;
}

/* From some candidates in sampler->spare and ids, logits still. */
static uint32_t draw_candidate(llmc_sampler *sampler, size_t n, float max, uint64_t position) {
    const llmc_sampler_params *params = &sampler->params;
    float *weights = sampler->spare;
    uint64_t mass = sampler->passes->weigh(weights, n, max, 1.0f / params->temperature, weights, NULL);
    if (params->top_p < 1.0f) {
        uint64_t target = target_of(params->top_p, mass);
        llmc_sampler_threshold nucleus = llmc_sampler_nucleus(sampler->passes, weights, n, mass, target, NULL, 0);
        n = llmc_sampler_compact(weights, sampler->ids, n, nucleus);
    }
    if (params->min_p > 0.0f)
        n = llmc_sampler_compact(weights, sampler->ids, n, (llmc_sampler_threshold){params->min_p, all_equal, 0});
    mass = sampler->passes->mass_from(weights, n, 0.0f, NULL);
    return sampler->ids[walk(weights, n, everything, random_below(sampler, position, mass))];
}

/* Everything that could have a weight of min_p, and a little more, into the candidates; 0 if that is too many. */
static size_t gather_likely(const llmc_sampler *sampler, const float *logits, float max) {
    const llmc_sampler_params *params = &sampler->params;
    double reach = (0.001 - llmc_sampler_log((double)params->min_p)) * (double)params->temperature;
    float least = (float)((double)max - reach);
    least -= fabsf(least) * 0x1p-22f; /* whichever way it was rounded */
    size_t n =
        sampler->passes->gather(logits, sampler->n_vocab, least, INFINITY, sampler->spare, sampler->ids, sampler->capacity);
    return n <= sampler->capacity ? n : 0;
}

/* From a whole row without filters, which is weighed twice where the token is and once elsewhere, and never written. *mass: of
 * all. */
static uint32_t draw_unfiltered(llmc_sampler *sampler, const float *logits, float max, uint64_t position, uint64_t *mass) {
    uint64_t chunks[LLMC_SAMPLER_CHUNKS];
    float weights[256];
    size_t n = sampler->n_vocab;
    float scale = 1.0f / sampler->params.temperature;
    *mass = sampler->passes->weigh(logits, n, max, scale, NULL, chunks);
    uint64_t target = random_below(sampler, position, *mass);
    size_t chunk = llmc_sampler_chunk(n);
    size_t begin = chunk_of(chunks, &target) * chunk, end = n - begin < chunk ? n : begin + chunk;
    for (;; begin += sizeof weights / sizeof *weights) {
        size_t some = end - begin < sizeof weights / sizeof *weights ? end - begin : sizeof weights / sizeof *weights;
        uint64_t part = sampler->passes->weigh(logits + begin, some, max, scale, weights, NULL);
        if (part > target || begin + some == end) return (uint32_t)(begin + walk(weights, some, everything, target));
        target -= part;
    }
}

/* From a whole row with top_p or min_p. The logits become weights. */
static uint32_t draw_filtered(llmc_sampler *sampler, float *logits, float max, uint64_t position, uint64_t *mass) {
    const llmc_sampler_params *params = &sampler->params;
    const llmc_sampler_passes *passes = sampler->passes;
    uint64_t chunks[LLMC_SAMPLER_CHUNKS];
    size_t n = sampler->n_vocab;
    *mass = passes->weigh(logits, n, max, 1.0f / params->temperature, logits, NULL);
    llmc_sampler_threshold kept = {params->min_p, all_equal, 0};
    if (params->top_p < 1.0f) {
        uint64_t target = target_of(params->top_p, *mass);
        llmc_sampler_threshold nucleus =
            llmc_sampler_nucleus(passes, logits, n, *mass, target, sampler->spare, sampler->capacity);
        if (!(params->min_p > nucleus.value)) kept = nucleus;
    }
    uint64_t left = passes->mass_from(logits, n, kept.value, chunks);
    if (kept.take != all_equal && left != kept.mass) /* some that equal the threshold are out */
        return (uint32_t)walk(logits, n, kept, random_below(sampler, position, kept.mass));
    kept.take = all_equal;
    uint64_t target = random_below(sampler, position, left);
    size_t chunk = llmc_sampler_chunk(n);
    size_t begin = chunk_of(chunks, &target) * chunk;
    return (uint32_t)(begin + walk(logits + begin, n - begin < chunk ? n - begin : chunk, kept, target));
}

/* *mass: the sum of the row's masses at this temperature, where it was computed. */
static uint32_t draw(llmc_sampler *sampler, float *logits, float max, uint64_t position, uint64_t *mass) {
    const llmc_sampler_params *params = &sampler->params;
    size_t n = 0;
    if (params->top_k > 0) {
        llmc_sampler_threshold threshold = llmc_sampler_top_k(sampler->passes, logits, sampler->n_vocab, (size_t)params->top_k);
        n = llmc_sampler_keep(sampler->passes, logits, sampler->n_vocab, threshold, sampler->spare, sampler->ids);
    } else if (params->min_p > 0.0f && params->top_p == 1.0f) {
        n = gather_likely(sampler, logits, max);
    }
    if (n > 0) return draw_candidate(sampler, n, max, position);
    if (params->top_p < 1.0f || params->min_p > 0.0f) return draw_filtered(sampler, logits, max, position, mass);
    return draw_unfiltered(sampler, logits, max, position, mass);
}

static uint32_t lowest_allowed(const uint32_t *mask, uint32_t n_vocab) {
    for (uint32_t token = 0; token < n_vocab; token++) {
        if (allows(mask, token)) return token;
    }
    return 0;
}

void llmc_sampler_sample(llmc_sampler *sampler, float *logits, const uint32_t *mask, uint64_t position, llmc_sample *out) {
    const llmc_sampler_params *params = &sampler->params;
    size_t n = sampler->n_vocab;
    int adjusted = adjusts(sampler, mask);
    memset(out, 0, sizeof *out);
    float raw_max = sampler->passes->tidy(logits, n);
    const float *raw = logits;
    if (params->logprobs && (adjusted || params->temperature > 0.0f)) raw = memcpy(sampler->raw, logits, n * sizeof *logits);
    float max = adjusted ? adjust(sampler, logits, mask) : raw_max;
    uint64_t mass = 0;
    if (!(max > -INFINITY)) out->token = (int32_t)lowest_allowed(mask, sampler->n_vocab);
    else if (params->temperature == 0.0f) out->token = (int32_t)llmc_sampler_find(sampler->passes, logits, n, max);
    else out->token = (int32_t)draw(sampler, logits, max, position, &mass);
    if (params->logprobs) report(sampler, raw, raw_max, adjusted || params->temperature != 1.0f ? 0 : mass, out);
}
