/* The bytes of one part of a model file, from the file system or from the application's reader. */
#ifndef LLMC_GGUF_SOURCE_H
#define LLMC_GGUF_SOURCE_H

#include "core/error.h"

typedef struct llmc_gguf_source {
    int file; /* -1: the reader's */
    llmcall_reader reader;
    uint64_t size;
} llmc_gguf_source;

/* Opens a regular file. On failure nothing is held. */
llmcall_status llmc_gguf_source_open(llmc_gguf_source *source, const char *path, llmcall_error *error);
llmcall_status llmc_gguf_source_of_reader(llmc_gguf_source *source, const llmcall_reader *reader, llmcall_error *error);
void llmc_gguf_source_close(llmc_gguf_source *source);

/* Exactly size bytes, or LLMCALL_E_IO: also where the file has become shorter. what names the reading in the error. */
llmcall_status llmc_gguf_source_read(const llmc_gguf_source *source, uint64_t offset, void *dst, size_t size, const char *what,
                                     llmcall_error *error);

#endif
