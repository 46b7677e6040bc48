/* Admission: calls the admit hook and believes nothing that it says before it was checked. */
#include "gateway/gateway.h"

#include <string.h>

#include "core/utf8.h"

enum { PRIORITY_LIMIT = 100 };

llmcall_status llmcall_default_admit(void *user, const llmcall_admit_request *request, llmcall_admission *decision,
                                     llmcall_error *error) {
    (void)user;
    (void)request;
    if (!decision) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "decision", "decision is NULL");
    decision->priority = 0;
    memset(decision->tenant, 0, sizeof decision->tenant);
    memcpy(decision->tenant, "default", sizeof "default");
    decision->cache_salt = 0;
    decision->max_tokens_limit = 0;
    return LLMCALL_OK;
}

static llmcall_status check_tenant(char *tenant, size_t capacity, llmcall_error *error) {
    const char *end = memchr(tenant, 0, capacity);
    if (!end) {
        return llmc_fail(error, LLMCALL_E_INTERNAL, "invalid_admission", "tenant",
                         "the admit hook's tenant is not NUL-terminated within %zu bytes", capacity);
    }
    size_t size = (size_t)(end - tenant);
    size_t valid = llmc_utf8_valid_prefix(tenant, size);
    if (valid != size) {
        return llmc_fail(error, LLMCALL_E_INTERNAL, "invalid_admission", "tenant",
                         "the admit hook's tenant is not UTF-8 at byte %zu", valid);
    }
    memset(tenant + size, 0, capacity - size); /* what the hook left behind goes no further */
    if (size == 0) memcpy(tenant, "default", sizeof "default");
    return LLMCALL_OK;
}

static llmcall_status check_decision(llmcall_admission *decision, llmcall_error *error) {
    if (decision->max_tokens_limit < 0) {
        return llmc_fail(error, LLMCALL_E_INTERNAL, "invalid_admission", "max_tokens_limit",
                         "the admit hook's max_tokens_limit is %lld", (long long)decision->max_tokens_limit);
    }
    if (decision->priority > PRIORITY_LIMIT) decision->priority = PRIORITY_LIMIT;
    if (decision->priority < -PRIORITY_LIMIT) decision->priority = -PRIORITY_LIMIT;
    decision->struct_size = sizeof *decision;
    return check_tenant(decision->tenant, sizeof decision->tenant, error);
}

/* A hook's refusal with its own words where it said any; llmc_fail makes them safe to print. */
static llmcall_status refuse(llmcall_status status, const llmcall_error *said, llmcall_error *error) {
    if (status < LLMCALL_OK || status > LLMCALL_E_INTERNAL) {
        return llmc_fail(error, LLMCALL_E_INTERNAL, "invalid_admission", NULL, "the admit hook returned status %d",
                         (int)status);
    }
    LLMCALL_INIT(llmcall_error, full);
    llmc_fail(&full, status, said->code[0] ? said->code : NULL, said->param, "%.511s",
              said->message[0] ? said->message : "the call was not admitted");
    if (said->http_status >= 400 && said->http_status <= 599) full.http_status = said->http_status;
    if (said->retry_after_ms > 0) full.retry_after_ms = said->retry_after_ms;
    llmc_error_copy(error, &full);
    return status;
}

llmcall_status llmc_gateway_admit(const llmc_env *env, const llmcall_hooks *hooks, const llmcall_admit_request *request,
                                  llmcall_admission *decision, llmcall_error *error) {
    (void)env;
    llmcall_init(decision, sizeof *decision);
    if (!hooks || !hooks->admit) return llmcall_default_admit(NULL, request, decision, error);
    LLMCALL_INIT(llmcall_error, detail);
    llmcall_status status = hooks->admit(hooks->user, request, decision, &detail);
    if (status == LLMCALL_OK) status = check_decision(decision, error);
    else status = refuse(status, &detail, error);
    if (status != LLMCALL_OK) llmcall_init(decision, sizeof *decision);
    return status;
}
