/* exp and what is made of it, in lanes: one text for both widths, which vecmath.h includes for each. It has defined
 *   VECTOR        a register of floats
 *   OP(name)      the instruction set's function: _mm256_<name>_ps or _mm512_<name>_ps
 *   LANES_(name)  llmc_<name>8 or llmc_<name>16; of these where_less, where_nan and scale are there already
 * and finds them undefined afterwards. */

/* n + LLMC_EXP_ROUND. */
static inline VECTOR LANES_(exp_sum)(VECTOR x) {
    return OP(fmadd)(x, OP(set1)(LLMC_EXP_LOG2E), OP(set1)(LLMC_EXP_ROUND));
}

/* e^r, r what n leaves of x. */
static inline VECTOR LANES_(exp_rest)(VECTOR x, VECTOR sum) {
    const VECTOR one = OP(set1)(1.0f);
    VECTOR n = OP(sub)(sum, OP(set1)(LLMC_EXP_ROUND));
    VECTOR r = OP(fnmadd)(n, OP(set1)(LLMC_EXP_LN2_HI), x);
    r = OP(fnmadd)(n, OP(set1)(LLMC_EXP_LN2_LO), r);
    VECTOR p = OP(fmadd)(OP(set1)(LLMC_EXP_C6), r, OP(set1)(LLMC_EXP_C5));
    p = OP(fmadd)(p, r, OP(set1)(LLMC_EXP_C4));
    p = OP(fmadd)(p, r, OP(set1)(LLMC_EXP_C3));
    p = OP(fmadd)(p, r, OP(set1)(LLMC_EXP_C2));
    p = OP(fmadd)(p, r, one);
    return OP(fmadd)(p, r, one);
}

static inline VECTOR LANES_(exp)(VECTOR x) {
    VECTOR sum = LANES_(exp_sum)(x);
    VECTOR y = LANES_(scale)(LANES_(exp_rest)(x, sum), sum);
    y = LANES_(where_less)(x, OP(set1)(LLMC_EXP_MIN), OP(set1)(0.0f), y);
    y = LANES_(where_less)(OP(set1)(LLMC_EXP_MAX), x, OP(set1)(INFINITY), y);
    return LANES_(where_nan)(x, x, y);
}

static inline VECTOR LANES_(expm1_down)(VECTOR x) {
    VECTOR p = OP(fmadd)(OP(set1)(LLMC_EXP_C6), x, OP(set1)(LLMC_EXP_C5));
    p = OP(fmadd)(p, x, OP(set1)(LLMC_EXP_C4));
    p = OP(fmadd)(p, x, OP(set1)(LLMC_EXP_C3));
    p = OP(fmadd)(p, x, OP(set1)(LLMC_EXP_C2));
    p = OP(fmadd)(p, x, OP(set1)(1.0f));
    VECTOR far = OP(sub)(LANES_(exp)(x), OP(set1)(1.0f));
    return LANES_(where_less)(OP(set1)(LLMC_EXPM1_NEAR), x, OP(mul)(p, x), far);
}

static inline VECTOR LANES_(silu)(VECTOR x) {
    VECTOR minus = OP(xor)(x, OP(set1)(-0.0f));
    return OP(div)(x, OP(add)(OP(set1)(1.0f), LANES_(exp)(minus)));
}

static inline VECTOR LANES_(tanh)(VECTOR x) {
    const VECTOR sign = OP(set1)(-0.0f), one = OP(set1)(1.0f);
    VECTOR e = LANES_(exp)(OP(mul)(OP(set1)(-2.0f), OP(andnot)(sign, x)));
    VECTOR y = OP(div)(OP(sub)(one, e), OP(add)(one, e));
    return OP(or)(OP(andnot)(sign, y), OP(and)(sign, x));
}

static inline VECTOR LANES_(gelu)(VECTOR x) {
    VECTOR slope = OP(fmadd)(OP(mul)(x, x), OP(set1)(LLMC_GELU_C3), OP(set1)(LLMC_GELU_C1));
    return OP(div)(x, OP(add)(OP(set1)(1.0f), LANES_(exp)(OP(mul)(x, slope))));
}

static inline VECTOR LANES_(gelu_exact)(VECTOR x) {
    const VECTOR one = OP(set1)(1.0f), half = OP(set1)(0.5f);
    VECTOR z = OP(mul)(OP(andnot)(OP(set1)(-0.0f), x), OP(set1)(LLMC_ERFC_ROOT));
    VECTOR t = OP(div)(one, OP(fmadd)(z, half, one));
    VECTOR p = OP(fmadd)(OP(set1)(LLMC_ERFC_C9), t, OP(set1)(LLMC_ERFC_C8));
    p = OP(fmadd)(p, t, OP(set1)(LLMC_ERFC_C7));
    p = OP(fmadd)(p, t, OP(set1)(LLMC_ERFC_C6));
    p = OP(fmadd)(p, t, OP(set1)(LLMC_ERFC_C5));
    p = OP(fmadd)(p, t, OP(set1)(LLMC_ERFC_C4));
    p = OP(fmadd)(p, t, OP(set1)(LLMC_ERFC_C3));
    p = OP(fmadd)(p, t, OP(set1)(LLMC_ERFC_C2));
    p = OP(fmadd)(p, t, OP(set1)(LLMC_ERFC_C1));
    p = OP(fmadd)(p, t, OP(set1)(LLMC_ERFC_C0));
    VECTOR tail = OP(mul)(OP(mul)(half, t), LANES_(exp)(OP(fnmadd)(z, z, p)));
    return OP(mul)(x, LANES_(where_less)(x, OP(set1)(0.0f), tail, OP(sub)(one, tail)));
}

#undef VECTOR
#undef OP
#undef LANES_
