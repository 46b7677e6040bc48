/* Admission: who is asking, and may they. A pure decision over plain structs, by the admit hook or the open default. */
#ifndef LLMC_GATEWAY_H
#define LLMC_GATEWAY_H

#include "core/error.h"

/* Asks hooks->admit (hooks and the hook may be NULL: llmcall_default_admit) and checks what came back: tenant NUL-terminated
 * UTF-8 (empty becomes "default"), priority clamped to +-100, max_tokens_limit not negative. A refusal returns the hook's
 * status with error filled, by the library where the hook did not. A decision or status that makes no sense refuses the call
 * with E_INTERNAL. decision is initialised here. On the caller's thread; no lock may be held. */
llmcall_status llmc_gateway_admit(const llmc_env *env, const llmcall_hooks *hooks, const llmcall_admit_request *request,
                                  llmcall_admission *decision, llmcall_error *error);

#endif
