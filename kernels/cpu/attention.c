/* Attention, portable: the arithmetic that the other tiers equal. */
#include "kernels/cpu/attention.h"

#include "kernels/cpu/vecmath.h"

enum { TILE = 6 };

static float element(const void *b, size_t i, int half) {
    return half ? llmc_f16_to_f32(((const uint16_t *)b)[i]) : ((const float *)b)[i];
}

static void product(const float *a, size_t a_stride, uint32_t m, const void *const *b, size_t b_stride, int half, uint32_t k,
                    float *c, size_t c_stride, uint32_t n, int add) {
    for (uint32_t i = 0; i < m; i++) {
        for (uint32_t column = 0; column < 16 * n; column++) {
            float sum = add ? c[i * c_stride + column] : 0.0f;
            for (uint32_t j = 0; j < k; j++) {
                sum = fmaf(a[i * a_stride + j], element(b[column / 16], j * b_stride + column % 16, half), sum);
            }
            c[i * c_stride + column] = sum;
        }
    }
}

static void softmax_row(float *s, uint32_t n_valid, uint32_t n_vectors, float scale, float *m, float *l) {
    float maximum = -INFINITY, lanes[16] = {0};
    for (uint32_t j = 0; j < n_valid; j++) {
        s[j] *= scale;
        maximum = s[j] > maximum ? s[j] : maximum;
    }
    for (uint32_t j = 0; j < 16 * n_vectors; j++) {
        s[j] = j < n_valid ? llmc_expf(s[j] - maximum) : 0.0f;
        lanes[j % 16] += s[j];
    }
    *m = maximum;
    *l = llmc_sum16(lanes);
}

static void softmax_rows(float *s, uint32_t n, const uint32_t *n_valid, uint32_t n_vectors, float scale, float *m, float *l) {
    for (uint32_t i = 0; i < n; i++) softmax_row(s + (size_t)i * LLMC_KV_GROUP, n_valid[i], n_vectors, scale, &m[i], &l[i]);
}

static void fold_factors(float *maximum, const float *m, uint32_t n, float *old, float *added) {
    for (uint32_t i = 0; i < n; i++) {
        float larger = maximum[i] > m[i] ? maximum[i] : m[i];
        old[i] = llmc_expf(maximum[i] - larger);
        added[i] = llmc_expf(m[i] - larger);
        maximum[i] = larger;
    }
}

static void fold_output(float *output, float a, const float *o, float b, uint32_t dim) {
    for (uint32_t d = 0; d < dim; d++) output[d] = fmaf(output[d], a, o[d] * b);
}

static void widen(float *to, const void *from, uint32_t n, int half) {
    for (uint32_t i = 0; i < n; i++) to[i] = element(from, i, half);
}

static void narrow(uint16_t *to, const float *from, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) to[i] = llmc_f32_to_f16(from[i]);
}

static void dequantize_values(float *to, uint32_t to_stride, const int8_t *from, uint32_t from_stride, uint32_t n,
                              const uint16_t *scales) {
    for (uint32_t i = 0; i < n; i++) {
        float scale = llmc_f16_to_f32(scales[i]);
        for (int d = 0; d < LLMC_KV_Q8_DIMS; d++) to[i * to_stride + d] = scale * (float)from[i * from_stride + d];
    }
}

static void dequantize_keys(float *to, const int8_t *from, const uint16_t *scales) {
    for (int i = 0; i < LLMC_KV_Q8_DIMS * LLMC_KV_PAGE; i++) {
        to[i / LLMC_KV_PAGE * LLMC_KV_GROUP + i % LLMC_KV_PAGE] = llmc_f16_to_f32(scales[i % LLMC_KV_PAGE]) * (float)from[i];
    }
}

#include "kernels/cpu/attention_body.h"

size_t llmc_attention_scratch_bytes(uint32_t head_dim) {
    size_t dim = round16(head_dim);
    size_t rows = 2 * LLMC_KV_GROUP + 16 + 2 * LLMC_ATTENTION_QUERIES; /* k, v; o; q, output */
    return (rows * dim + 16 * LLMC_KV_GROUP + 2 * LLMC_ATTENTION_QUERIES) * sizeof(float);
}

void llmc_attention_kernels_init(llmc_attention_kernels *kernels, llmc_cpu_tier tier) {
    *kernels = (llmc_attention_kernels){.attend = attend, .groups = groups, .fold = fold, .store = store};
    if (tier < LLMC_TIER_AVX2) return;
#ifdef LLMC_X86
    llmc_attention_kernels_avx2(kernels);
    if (tier < LLMC_TIER_AVX512) return;
    llmc_attention_kernels_avx512(kernels);
#endif
}
