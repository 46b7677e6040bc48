/* Tokens times price, in whole 1e-9 of the currency, so that bills add up; and the default usage hook. */
#include "meter/meter.h"

static const uint64_t million = 1000000;

llmcall_status llmcall_default_usage(void *user, const llmcall_usage_record *record) {
    (void)user;
    (void)record;
    return LLMCALL_OK;
}

/* Rounded half up; at most limit. */
static int64_t part(uint64_t tokens, int64_t price, int64_t limit) {
    if (price <= 0) return 0;
    unsigned __int128 cost = ((unsigned __int128)tokens * (uint64_t)price + million / 2) / million;
    return cost > (unsigned __int128)limit ? limit : (int64_t)cost;
}

void llmc_meter_cost(const llmc_prices *prices, uint64_t prompt_uncached, uint64_t cached, uint64_t completion,
                     llmcall_usage_record *record) {
    int64_t left = INT64_MAX;
    record->cost_prompt_nano = part(prompt_uncached, prices->prompt, left);
    left -= record->cost_prompt_nano;
    record->cost_cached_nano = part(cached, prices->cached, left);
    left -= record->cost_cached_nano;
    record->cost_completion_nano = part(completion, prices->completion, left);
    left -= record->cost_completion_nano;
    record->cost_nano = INT64_MAX - left;
}
