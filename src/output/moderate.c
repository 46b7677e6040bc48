/* Moderation of text about to be sent: the hook's verdict, made safe to follow, and the default that lets everything pass. */
#include <string.h>

#include "core/utf8.h"
#include "output/output.h"

llmcall_status llmcall_default_moderate(void *user, const llmcall_moderation_request *request, llmcall_moderation *verdict) {
    (void)user;
    (void)request;
    if (!verdict) return LLMCALL_E_ARGUMENT;
    verdict->action = LLMCALL_MODERATE_PASS;
    verdict->replacement = NULL;
    verdict->replacement_size = 0;
    return LLMCALL_OK;
}

static int is_sound(const llmcall_moderation *verdict) {
    switch (verdict->action) {
    case LLMCALL_MODERATE_PASS:
    case LLMCALL_MODERATE_STOP:
        return 1;
    case LLMCALL_MODERATE_REPLACE:
        if (verdict->replacement_size == 0) return 1;
        if (!verdict->replacement) return 0;
        return llmc_utf8_valid_prefix(verdict->replacement, verdict->replacement_size) == verdict->replacement_size;
    default:
        return 0;
    }
}

int32_t llmc_output_moderate(const llmcall_hooks *hooks, const llmcall_moderation_request *request,
                             llmcall_moderation *verdict) {
    memset(verdict, 0, sizeof *verdict);
    verdict->struct_size = sizeof *verdict;
    if (!hooks || !hooks->moderate) {
        (void)llmcall_default_moderate(NULL, request, verdict);
        return verdict->action;
    }
    llmcall_status status = hooks->moderate(hooks->user, request, verdict);
    if (status != LLMCALL_OK || !is_sound(verdict)) verdict->action = LLMCALL_MODERATE_STOP;
    if (verdict->action == LLMCALL_MODERATE_REPLACE) return verdict->action;
    verdict->replacement = NULL;
    verdict->replacement_size = 0;
    return verdict->action;
}
