/* What a KV cache holds: the same numbers as LLMCALL_KV_* in llmcall.h. */
#ifndef LLMC_KV_TYPE_H
#define LLMC_KV_TYPE_H

enum {
    LLMC_KV_F16 = 1,
    LLMC_KV_Q8_0 = 2, /* 32 dimensions of a head share a scale: a byte each and an f16 */
    LLMC_KV_F32 = 3,
};

enum { LLMC_KV_Q8_DIMS = 32 };

#endif
