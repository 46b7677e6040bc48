/* Token bytes to text that may be sent, for one choice: whole characters only, broken UTF-8 replaced, stop strings found and
 * never leaked. Between the sampler and the events. */
#ifndef LLMC_OUTPUT_H
#define LLMC_OUTPUT_H

#include "core/alloc.h"
#include "core/error.h"

#define LLMC_OUTPUT_MAX_STOPS      16
#define LLMC_OUTPUT_MAX_STOP_BYTES (1u << 20)   /* of all stop strings together */
#define LLMC_OUTPUT_MAX_TEXT_BYTES (256u << 20) /* that may wait to be taken */

typedef struct llmc_output llmc_output;

/* Stop strings are copied; sizes in bytes. E_ARGUMENT (param "stop"): too many, too long, or an empty one; E_UTF8: one that
 * is not UTF-8. *out is NULL on failure. An output belongs to one thread at a time. */
llmcall_status llmc_output_create(const llmc_env *env, const char *const *stops, const size_t *stop_sizes, size_t n_stops,
                                  llmc_output **out, llmcall_error *error);
void llmc_output_destroy(llmc_output **output); /* NULL is fine */

/* Feeds the bytes of a token (any split of the stream gives the same text). Text ends before the stop string that begins
 * first, wherever it would end; *stopped (may be NULL) becomes 1 once that one is certain: then the text before it is ready,
 * nothing more will come, and further pushes do nothing. E_NO_MEMORY or E_BUFFER: nothing of these bytes was taken. */
llmcall_status llmc_output_push(llmc_output *output, const char *bytes, size_t size, int *stopped);

/* Text that may be sent now; size 0 if none. Valid until the next call on this output. */
const char *llmc_output_ready(const llmc_output *output, size_t *size);
void llmc_output_take(llmc_output *output); /* forgets what was ready */

/* The end of the stream: what was held back becomes ready, a cut-off character as U+FFFD. Further calls do nothing. */
llmcall_status llmc_output_finish(llmc_output *output);

/* 1 if a stop string ended the text; ask after push or finish: a complete one inside the beginning of a longer one is only
 * decided by what follows, or by finish. */
int llmc_output_stopped(const llmc_output *output);

/* Asks the moderate hook (hooks and the hook may be NULL: all passes) and makes what it says safe to follow: any failure,
 * unknown action or replacement that is not UTF-8 is STOP. Fills *verdict and returns its action. */
int32_t llmc_output_moderate(const llmcall_hooks *hooks, const llmcall_moderation_request *request,
                             llmcall_moderation *verdict);

#endif
