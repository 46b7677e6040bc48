/* Logits to token: the last arithmetic of a decode step. One sampler serves one choice of one call; the same logits,
 * parameters, choice and position give the same token on every machine, in whatever order samplers are called. */
#ifndef LLMC_SAMPLER_H
#define LLMC_SAMPLER_H

#include "core/alloc.h"
#include "core/error.h"

#define LLMC_SAMPLER_MAX_VOCAB     (1u << 23) /* weights are 40-bit integers: sums of this many stay exact in 64 bits */
#define LLMC_SAMPLER_MAX_TOP       20
#define LLMC_SAMPLER_LOGPROB_FLOOR (-9999.0f) /* reported for what is impossible, as the OpenAI API does */

typedef struct llmc_sampler_params {
    float temperature; /* 0: greedy */
    float top_p;       /* 1: off */
    float min_p;       /* 0: off */
    float presence_penalty;
    float frequency_penalty;
    float repetition_penalty; /* 1: off; anything not above 0 counts as 1 */
    int32_t top_k;            /* 0: off */
    uint64_t seed;
    const llmcall_logit_bias *bias; /* copied */
    size_t n_bias;
    int logprobs;
    int32_t top_logprobs; /* 0 to 20; used only with logprobs */
} llmc_sampler_params;

/* What the defaults of llmcall_request mean: temperature 1, everything else off, seed 0. */
void llmc_sampler_params_defaults(llmc_sampler_params *params);

typedef struct llmc_sampler llmc_sampler;

/* All memory is taken here. E_ARGUMENT: n_vocab is 0 or above the cap, or a bias names a token outside it ("logit_bias").
 * *out is NULL on failure. A sampler belongs to one thread at a time. */
llmcall_status llmc_sampler_create(const llmc_env *env, const llmc_sampler_params *params, uint32_t n_vocab, uint32_t choice,
                                   llmc_sampler **out, llmcall_error *error);
void llmc_sampler_destroy(llmc_sampler **sampler); /* NULL is fine */

/* Tokens that the repetition penalty shall know, before the first sample; may come in pieces. Those outside the vocabulary
 * are skipped. */
void llmc_sampler_prompt(llmc_sampler *sampler, const int32_t *tokens, size_t n);

typedef struct llmc_sample {
    int32_t token;
    float logprob; /* natural log, of the model's own distribution; 0 unless logprobs was asked for */
    uint32_t n_top;
    struct {
        int32_t token;
        float logprob;
    } top[LLMC_SAMPLER_MAX_TOP]; /* likeliest first, ties by lower token */
} llmc_sample;

/* Draws the token for this position (any number that is the same when the call is repeated: the count of tokens before it).
 * Never allocates, never fails. logits: n_vocab floats, changed by it. mask: bit t % 32 of word t / 32 allows token t; NULL
 * allows all. NaN counts as -inf; if nothing at all is possible, the lowest allowed token is the answer, or 0. */
void llmc_sampler_sample(llmc_sampler *sampler, float *logits, const uint32_t *mask, uint64_t position, llmc_sample *out);

/* The token that was taken: counts for the penalties of the ones after it. Out of range: ignored. */
void llmc_sampler_accept(llmc_sampler *sampler, int32_t token);

#endif
