/* What the files that read a model's numbers share: keys of the GGUF file one after another, limits, and the parts of
 * llmc_hparams_read. */
#ifndef LLMC_HPARAMS_H
#define LLMC_HPARAMS_H

#include "model/arch.h"

/* Far beyond any model there is, and small enough that products of two of them fit in 64 bits many times over. */
enum {
    LLMC_MAX_WIDTH = 1 << 18,
    LLMC_MAX_HEADS = 1024,
    LLMC_MAX_HEAD_DIM = 1024,
    LLMC_MAX_FF = 1 << 20,
    LLMC_MAX_VOCAB = 1 << 24,
    LLMC_MAX_CONTEXT = 1 << 28,
    LLMC_MAX_EXPERTS = 1024,
    LLMC_MAX_STATE = 4096,
    LLMC_MAX_LAYER_EMBEDDING = 1 << 13 /* times layers fits a width */
};

enum { LLMC_KEY_SIZE = 96 };

/* Reads keys "<architecture>.<name>"; after the first failure it does nothing, so a list of keys needs one check at its end. */
typedef struct llmc_key_reader {
    const llmc_gguf *gguf;
    const char *architecture;
    llmcall_error *error;
    llmcall_status status;
    char key[LLMC_KEY_SIZE]; /* the last one, as errors name it */
} llmc_key_reader;

const char *llmc_key_of(llmc_key_reader *reader, const char *name);

/* About the last key. */
void llmc_fail_missing(llmc_key_reader *reader);
void llmc_fail_u32(llmc_key_reader *reader, uint32_t value, const char *expected);
void llmc_check_range(llmc_key_reader *reader, uint32_t value, uint32_t min, uint32_t max);

/* An optional number from min to max; *value is the default. */
void llmc_read_u32(llmc_key_reader *reader, const char *name, uint32_t *value, uint32_t min, uint32_t max);
void llmc_read_f32(llmc_key_reader *reader, const char *name, float *value, float min, float max, int *found);
void llmc_read_bool(llmc_key_reader *reader, const char *name, int *value);
void llmc_require_u32(llmc_key_reader *reader, const char *name, uint32_t *value, uint32_t min, uint32_t max);

/* Some files give one number a layer. They are served if the layers agree. Where `none` is given, 0 is no number: those layers
 * are marked in it. */
void llmc_read_u32_or_array(llmc_key_reader *reader, const char *name, uint32_t *value, uint32_t n_layers, uint32_t min,
                            uint32_t max, uint8_t *none);

/* One number for all layers, or one a layer, into values (n_layers). Returns 0 if the file has no such key. */
int llmc_read_u32_of_layers(llmc_key_reader *reader, const char *name, uint32_t *values, uint32_t n_layers, uint32_t min,
                            uint32_t max);

/* Marks the layers for which an array of numbers or booleans is not 0. Returns 0 if the file has no such array. */
int llmc_mark_by_array(llmc_key_reader *reader, const char *name, llmc_hparams *hparams, uint8_t flag);

/* The parts, in the order in which they need each other. */
void llmc_read_rope(llmc_key_reader *reader, llmc_hparams *hparams);
void llmc_read_windows(llmc_key_reader *reader, llmc_hparams *hparams);
void llmc_read_experts(llmc_key_reader *reader, llmc_hparams *hparams);
void llmc_read_latent(llmc_key_reader *reader, llmc_hparams *hparams);
void llmc_read_recurrent(llmc_key_reader *reader, llmc_hparams *hparams);
void llmc_mark_turning(llmc_key_reader *reader, llmc_hparams *hparams);
int llmc_has_alibi(const llmc_hparams *hparams); /* not by a key */

#endif
