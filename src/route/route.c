/* Routing: the least loaded of the models that will do, and the check of a hook that says otherwise. */
#include "route/route.h"

#include <string.h>

/* In an array of structs the distance between elements is the struct_size of the first. */
static const llmcall_candidate *candidate_at(const llmcall_route_request *request, uint32_t i) {
    size_t stride = request->candidates->struct_size ? request->candidates->struct_size : sizeof(llmcall_candidate);
    return (const llmcall_candidate *)(const void *)((const char *)request->candidates + i * stride);
}

static int compare(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

static uint64_t not_negative(int64_t value) {
    return value > 0 ? (uint64_t)value : 0;
}

static uint64_t add_prices(const llmcall_candidate *candidate) {
    return not_negative(candidate->price_prompt) + not_negative(candidate->price_completion);
}

static uint64_t load_of(const llmcall_candidate *candidate) {
    uint64_t load = candidate->waiting + candidate->running;
    return load < candidate->waiting ? UINT64_MAX : load;
}

/* Less load, then nearer, then cheaper, then the lower index. */
static int is_better(const llmcall_candidate *a, const llmcall_candidate *b) {
    int order = compare(load_of(a), load_of(b));
    if (order == 0) order = compare(not_negative(a->network_ns), not_negative(b->network_ns));
    if (order == 0) order = compare(add_prices(a), add_prices(b));
    return order != 0 ? order < 0 : a->index < b->index;
}

llmcall_status llmcall_default_route(void *user, const llmcall_route_request *request, int32_t *index, llmcall_error *error) {
    (void)user;
    if (!request || !index)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, request ? "index" : "request", "%s is NULL",
                         request ? "index" : "request");
    const char *model = request->model ? request->model : "";
    const llmcall_candidate *best = NULL;
    for (uint32_t i = 0; request->candidates && i < request->n_candidates; i++) {
        const llmcall_candidate *candidate = candidate_at(request, i);
        if (model[0] && (!candidate->model || strcmp(candidate->model, model) != 0)) continue;
        if (!best || is_better(candidate, best)) best = candidate;
    }
    if (best) {
        *index = best->index;
        return LLMCALL_OK;
    }
    if (model[0]) {
        return llmc_fail(error, LLMCALL_E_NOT_FOUND, "model_not_found", "model", "there is no model named '%.200s'", model);
    }
    return llmc_fail(error, LLMCALL_E_NOT_FOUND, "model_not_found", "model", "no model is loaded");
}

static int is_candidate(const llmcall_route_request *request, int32_t index) {
    for (uint32_t i = 0; request->candidates && i < request->n_candidates; i++) {
        if (candidate_at(request, i)->index == index) return 1;
    }
    return 0;
}

/* A hook's refusal with its own words where it said any; llmc_fail makes them safe to print. */
static llmcall_status refuse(llmcall_status status, const llmcall_error *said, llmcall_error *error) {
    if (status < LLMCALL_OK || status > LLMCALL_E_INTERNAL) {
        return llmc_fail(error, LLMCALL_E_INTERNAL, "invalid_route", NULL, "the route hook returned status %d", (int)status);
    }
    LLMCALL_INIT(llmcall_error, full);
    llmc_fail(&full, status, said->code[0] ? said->code : NULL, said->param, "%.511s",
              said->message[0] ? said->message : "the call could not be routed");
    if (said->http_status >= 400 && said->http_status <= 599) full.http_status = said->http_status;
    if (said->retry_after_ms > 0) full.retry_after_ms = said->retry_after_ms;
    llmc_error_copy(error, &full);
    return status;
}

llmcall_status llmc_route_choose(const llmc_env *env, const llmcall_hooks *hooks, const llmcall_route_request *request,
                                 int32_t *index, llmcall_error *error) {
    (void)env;
    *index = -1;
    if (!hooks || !hooks->route) return llmcall_default_route(NULL, request, index, error);
    LLMCALL_INIT(llmcall_error, detail);
    int32_t chosen = -1;
    llmcall_status status = hooks->route(hooks->user, request, &chosen, &detail);
    if (status != LLMCALL_OK) return refuse(status, &detail, error);
    if (!is_candidate(request, chosen)) {
        return llmc_fail(error, LLMCALL_E_INTERNAL, "invalid_route", NULL, "the route hook chose %d, which is no candidate",
                         (int)chosen);
    }
    *index = chosen;
    return LLMCALL_OK;
}

int64_t llmc_route_network_ns(double distance_km) {
    if (!(distance_km > 0.0)) return 0; /* NaN too */
    if (distance_km > LLMC_ROUTE_MAX_DISTANCE_KM) distance_km = LLMC_ROUTE_MAX_DISTANCE_KM;
    return (int64_t)(distance_km * 2.0 * LLMC_ROUTE_NS_PER_KM * LLMC_ROUTE_INFLATION + 0.5);
}
