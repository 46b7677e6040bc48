/* Layers that carry a state from token to token: the short causal convolution, the scans of Mamba-2 and of Mamba, the gated delta
 * rule.
 *
 * A job is one sequence's consecutive tokens and some of the channels: it reads the state before its first token and leaves that
 * after its last, token by token, so that it does not matter in how many jobs a prompt is computed. The lanes of a vector are
 * channels; no sum crosses them, but for the length of a head's q and k. Exact definition: kernels/README.md. */
#ifndef LLMC_RECURRENT_H
#define LLMC_RECURRENT_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu/cpu.h"

enum {
    LLMC_CONV_MAX_TAPS = 8,
    LLMC_CONV_CHANNELS = 64, /* at most in a job */
    LLMC_DELTA_MAX_KEY = 512,
    LLMC_DELTA_COLUMNS = 32, /* at most in a job */
    LLMC_CHANNEL_SCAN = 16,  /* channels at most in a job */
    LLMC_WKV_SIZE = 128,     /* of a head at most */
    LLMC_CHANNEL_STATE = 256 /* numbers of a channel's state at most */
};

/* y[t] = gate[t] * act(sum_j weight[j] * input[t - n_taps + 1 + j] + bias), input = x * times. */
typedef struct llmc_conv_job {
    uint32_t n_tokens;
    uint32_t n_channels;
    uint32_t n_taps;
    const float *x;
    const float *times;  /* NULL: ones */
    const float *gate;   /* NULL: ones */
    size_t row;          /* floats from a token's x, times and gate to the next one's */
    const float *weight; // (n_channels, n_taps)
    const float *bias;   // (n_channels) or NULL
    int silu;            /* act is silu, else nothing */
    float *window;       // (n_taps - 1, window_row): the inputs before, oldest first
    size_t window_row;
    float *dst;
    size_t dst_row;
} llmc_conv_job;

/* One head: state[n][p] = state[n][p] * exp(dt * a) + b[n] * x[p] * dt with dt = softplus(dt + dt_bias);
 * y[p] = silu(z[p]) * (sum_n state[n][p] * c[n] + d * x[p]). */
typedef struct llmc_scan_job {
    uint32_t n_tokens;
    uint32_t head_dim;
    uint32_t state_size;
    const float *x;                      // (head_dim)
    const float *b, *c;                  // (state_size)
    const float *z;                      // (head_dim)
    const float *dt;                     // (1)
    size_t x_row, bc_row, z_row, dt_row; /* floats from a token's to the next one's */
    float dt_bias, a, d;
    float *state; // (state_size, head_dim)
    float *dst;
    size_t dst_row;
} llmc_scan_job;

/* Mamba's first: every channel p has decays and a dt of its own. state[n][p] = state[n][p] * exp(dt[p] * a[p][n]) +
 * b[n] * x[p] * dt[p]; y as above. */
typedef struct llmc_channel_scan_job {
    uint32_t n_tokens;
    uint32_t n_channels;
    uint32_t state_size;
    const float *x, *z, *dt; // (n_channels)
    const float *b, *c;      // (state_size)
    size_t x_row, bc_row, z_row, dt_row;
    const float *dt_bias, *d; // (n_channels)
    const float *a;           // (n_channels, state_size)
    float *state;             // (state_size, state_row)
    size_t state_row;
    float *dst;
    size_t dst_row;
} llmc_channel_scan_job;

/* Some columns j of one head's state: the state decays by exp(a * softplus(alpha + dt_bias)), or
 * row i of it by decay[i], and
 * state[i][j] += k[i] * sigmoid(beta) * (v[j] - sum_i state[i][j] * k[i]);  y[j] = sum_i state[i][j] * q[i] / sqrt(key_dim). */
typedef struct llmc_delta_job {
    uint32_t n_tokens;
    uint32_t key_dim;
    uint32_t n_columns;
    const float *q, *k;        // (key_dim)
    const float *v;            // (n_columns)
    size_t row;                /* floats from a token's q, k and v to the next one's */
    const float *alpha, *beta; // (1)
    size_t ab_row;
    const float *decay; // (key_dim); NULL: alpha says
    size_t decay_row;
    float dt_bias, a;
    float *state; // (key_dim, state_row)
    size_t state_row;
    float *dst;
    size_t dst_row;
} llmc_delta_job;

/* One head of RWKV-7, with w = exp(-e^-0.5 sigmoid(decay)), a = sigmoid(rate), u = removal * k brought to length 1, and k and v as
 * kept: k + (a - 1) * k * replacement and v + (first - v) * sigmoid(mix):
 * state[j][i] = state[j][i] * w[j] + v[i] * k[j] - (sum_l state[l][i] * u[l]) * u[j] * a[j];  y[i] = sum_j state[j][i] * r[j];
 * dst = gate * (layer norm of y + v * sum_j r[j] * k[j] * bonus[j]). */
typedef struct llmc_wkv_job {
    uint32_t n_tokens;
    uint32_t dim;
    const float *r, *decay, *k, *v, *rate, *gate; // (dim)
    const float *first, *mix;                     // (dim), or NULL: v as it is
    size_t row;                                   /* floats from a token's to the next one's, also of dst */
    const float *removal, *replacement, *bonus, *norm, *norm_bias;
    float *state; // (dim, dim)
    float *dst;
} llmc_wkv_job;

typedef struct llmc_recurrent_kernels {
    void (*conv)(const llmc_conv_job *job);
    void (*scan)(const llmc_scan_job *job);
    void (*channel_scan)(const llmc_channel_scan_job *job);
    void (*delta)(const llmc_delta_job *job);
    void (*wkv)(const llmc_wkv_job *job);
    void (*decay)(const float *bias, float a, uint32_t n, float *x); /* x[i] = exp(a * softplus(x[i] + bias[i])) */
    void (*unit_length)(uint32_t n, float eps, float *x);            /* x[i] *= 1 / sqrt(sum of squares + eps) */
    void (*silu_gate)(const float *gate, uint32_t n, float *y);      /* y[i] *= silu(gate[i]) */
    void (*sigmoid_gate)(const float *gate, uint32_t n, float *y);   /* y[i] *= 1 / (1 + exp(-gate[i])) */
    void (*softplus_gate)(const float *gate, uint32_t n, float *y);  /* y[i] *= log(1 + exp(gate[i])) */
} llmc_recurrent_kernels;

/* Equal bits on every tier. */
void llmc_recurrent_kernels_init(llmc_recurrent_kernels *kernels, llmc_cpu_tier tier);

void llmc_recurrent_kernels_avx2(llmc_recurrent_kernels *kernels);

#endif
