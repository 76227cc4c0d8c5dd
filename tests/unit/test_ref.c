/* test_ref.c -- the reference itself: cases worked by hand, and identities. Everything
 * else is checked against it, so it is checked against nothing but arithmetic. */
#include <check.h>
#include <clflash/ref.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_N 4096 /* elements of any tensor here */

typedef struct data {
    float q[MAX_N], k[MAX_N], v[MAX_N];
} data;

static float uniform(void) { return (float)rand() / (float)RAND_MAX * 2 - 1; }

static void fill(data *t, unsigned seed)
{
    srand(seed);
    for (int i = 0; i < MAX_N; i++) {
        t->q[i] = 2 * uniform();
        t->k[i] = uniform();
        t->v[i] = uniform();
    }
}

static clflash_attn_desc parse(const char *text)
{
    clflash_attn_desc d;
    char reason[256];
    ck_assert_msg(clflash_attn_desc_parse(&d, text, reason, sizeof reason) == CLFLASH_OK, "%s: %s",
                  text, reason);
    return d;
}

static void run(const clflash_attn_desc *d, const clflash_attn_host_args *a, double *o, double *lse)
{
    ck_assert_int_eq(clflash_ref_attn_fwd_f64(d, a, o, lse), CLFLASH_OK);
}

static void same(const double *a, const double *b, int n, double tolerance, const char *what)
{
    for (int i = 0; i < n; i++)
        ck_assert_msg(a[i] == b[i] || fabs(a[i] - b[i]) <= tolerance, "%s: [%d] %.17g, not %.17g",
                      what, i, a[i], b[i]);
}

/* ---- by hand ---- */

START_TEST(one_key_is_copied)
{
    const float q[2] = {3, 4}, k[2] = {0.5f, 0.25f}, v[3] = {7, -8, 9};
    double o[3], lse;
    clflash_attn_desc d = parse("fwd f32 hq1 sq1 d2 dv3 scale=2");
    run(&d, &(clflash_attn_host_args){.q = q, .k = k, .v = v}, o, &lse);
    ck_assert(o[0] == 7 && o[1] == -8 && o[2] == 9);
    ck_assert_double_eq_tol(lse, 2 * (3 * 0.5 + 4 * 0.25), 1e-15);
}
END_TEST

START_TEST(two_keys_by_hand)
{
    /* scores ln 1 and ln 3: weights 1/4 and 3/4, LSE ln 4 */
    const float q[1] = {1}, k[2] = {0, 1.0986122886681098f}, v[2] = {4, 8};
    double o, lse;
    clflash_attn_desc d = parse("fwd f32 hq1 sq1 sk2 d1 scale=1");
    run(&d, &(clflash_attn_host_args){.q = q, .k = k, .v = v}, &o, &lse);
    ck_assert_double_eq_tol(o, 7, 1e-6);
    ck_assert_double_eq_tol(lse, log(4), 1e-7);
}
END_TEST

START_TEST(terms_come_in_their_order)
{
    /* s = 0.5 * 4 = 2; softcap 3 tanh(2/3); ALiBi -0.5 * |p(i) - p(j)| with p(i) = 1;
     * bias 0.25; sink 1 */
    const float q[1] = {4}, k[2] = {1, 1}, v[2] = {10, 20}, slope = 0.5f, sink = 1;
    const float bias[2] = {0, 0.25f};
    clflash_attn_desc d = parse("fwd f32 hq1 sq1 sk2 d1 scale=0.5 softcap=3 alibi sink bias");
    clflash_attn_host_args a = {
        .q = q, .k = k, .v = v, .alibi = &slope, .sink = &sink, .bias = {.data = bias}};
    double o, lse;
    run(&d, &a, &o, &lse);
    const double s = 3 * tanh(2.0 / 3), s0 = s - 0.5, s1 = s + 0.25;
    const double sum = exp(s0) + exp(s1) + exp(1);
    ck_assert_double_eq_tol(o, (10 * exp(s0) + 20 * exp(s1)) / sum, 1e-13);
    ck_assert_double_eq_tol(lse, log(sum), 1e-14);
}
END_TEST

/* Which keys of 5 the queries of 3 see, one digit per key. */
static const struct {
    const char *words;
    const char *rows[3];
} visible[] = {
    {"",                         {"11111", "11111", "11111"}},
    {"causal",                   {"11100", "11110", "11111"}},
    {"causal=topleft",           {"10000", "11000", "11100"}},
    {"window=1:0",               {"01100", "00110", "00011"}},
    {"window=1:1 align=topleft", {"11000", "11100", "01110"}},
    {"window=1:1",               {"01110", "00111", "00011"}},
    {"window=-1:1",              {"11110", "11111", "11111"}},
    {"window=0:-1",              {"00111", "00011", "00001"}},
    {"window=1:9 causal",        {"01100", "00110", "00011"}},
    {"seg",                      {"10010", "01000", "00000"}},
    {"docs=2",                   {"10010", "01000", "00000"}},
    {"kvlen",                    {"11110", "11110", "11110"}},
    {"pos causal",               {"01000", "11111", "11010"}},
    {"pos window=0:2",           {"11010", "00001", "00110"}},
    {"bool",                     {"01010", "11111", "00000"}},
    {"bool causal seg",          {"00000", "01000", "00000"}},
    {"bias",                     {"11111", "11011", "11111"}},
};

START_TEST(visibility_by_hand)
{
    const int32_t q_seg[3] = {4, 2, -1}, kv_seg[5] = {4, 2, -1, 4, 3};
    const int32_t q_pos[3] = {-7, 2147483647, -5}, kv_pos[5] = {-6, -7, -4, -5, 2147483647};
    const int32_t len = 4;
    const uint8_t boolean[15] = {0, 1, 0, 255, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0};
    float bias[15] = {0};
    char text[128] = "fwd f32 hq1 sq3 sk5 d1 ";
    strcat(text, visible[_i].words);
    const clflash_attn_desc d = parse(text);
    const clflash_attn_host_args a = {.q_segments = q_seg,
                                      .kv_segments = kv_seg,
                                      .q_positions = q_pos,
                                      .kv_positions = kv_pos,
                                      .kv_lengths = &len,
                                      .bias = {.data = bias},
                                      .boolean = {.data = boolean}};
    bias[0] = -3e38f;    /* however low: visible */
    bias[7] = -INFINITY; /* masked */
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 5; j++)
            ck_assert_msg(clflash_ref_visible(&d, &a, 0, 0, i, j) ==
                              (visible[_i].rows[i][j] == '1'),
                          "%s: query %d, key %d", visible[_i].words, i, j);
}
END_TEST

/* ---- rows without keys, zero sizes ---- */

START_TEST(a_row_without_keys_is_zero)
{
    data t;
    double o[3 * 2], lse[3];
    clflash_attn_desc d = parse("fwd f32 hq1 sq3 sk1 d2 causal");
    fill(&t, 1);
    run(&d, &(clflash_attn_host_args){.q = t.q, .k = t.k, .v = t.v}, o, lse);
    ck_assert(o[0] == 0 && o[1] == 0 && o[2] == 0 && o[3] == 0);
    ck_assert(lse[0] == -INFINITY && lse[1] == -INFINITY && isfinite(lse[2]));
    const float sink = 0.5f;
    d.sink = true;
    run(&d, &(clflash_attn_host_args){.q = t.q, .k = t.k, .v = t.v, .sink = &sink}, o, lse);
    ck_assert(o[0] == 0 && o[1] == 0 && lse[0] == 0.5 && lse[1] == 0.5);
}
END_TEST

START_TEST(zero_sizes)
{
    const float q[2] = {1, 2};
    double o[2] = {9, 9}, lse = 9;
    const char *nothing[] = {"fwd f32 b0 hq1 sq1 d2", "fwd f32 hq1 sq0 sk1 d2"};
    for (int i = 0; i < 2; i++) {
        const clflash_attn_desc d = parse(nothing[i]);
        run(&d, &(clflash_attn_host_args){0}, o, &lse);
        ck_assert(o[0] == 9 && lse == 9);
    }
    const clflash_attn_desc d = parse("fwd f32 hq1 sq1 sk0 d2");
    run(&d, &(clflash_attn_host_args){.q = q}, o, &lse);
    ck_assert(o[0] == 0 && o[1] == 0 && lse == -INFINITY);
}
END_TEST

/* ---- what must not spread, and what must ---- */

START_TEST(nan_under_a_mask_stays_there)
{
    data t;
    double want[6 * 4], o[6 * 4], lse_want[6], lse[6];
    const int32_t len = 4;
    const clflash_attn_desc d = parse("fwd f32 hq1 sq6 d4 kvlen");
    clflash_attn_host_args a = {.q = t.q, .k = t.k, .v = t.v, .kv_lengths = &len};
    fill(&t, 2);
    run(&d, &a, want, lse_want);
    for (int i = 4 * 4; i < 6 * 4; i++) {
        t.k[i] = i % 2 ? NAN : INFINITY;
        t.v[i] = NAN;
    }
    run(&d, &a, o, lse);
    ck_assert_mem_eq(o, want, sizeof o);
    ck_assert_mem_eq(lse, lse_want, sizeof lse);
}
END_TEST

START_TEST(nan_that_is_seen_is_nan)
{
    data t;
    double o[3 * 2], lse[3];
    const clflash_attn_desc d = parse("fwd f32 hq1 sq3 d2 causal");
    fill(&t, 3);
    t.k[2] = NAN; /* key 1 */
    run(&d, &(clflash_attn_host_args){.q = t.q, .k = t.k, .v = t.v}, o, lse);
    ck_assert(!isnan(o[0]) && !isnan(o[1]) && !isnan(lse[0]));
    for (int i = 2; i < 6; i++)
        ck_assert(isnan(o[i]) && isnan(lse[i / 2]));
}
END_TEST

START_TEST(any_finite_score_beats_a_masked_one)
{
    const float q[1] = {1}, k[2] = {-3e38f, 3e38f}, v[2] = {5, 1e30f};
    const int32_t len = 1;
    double o, lse;
    const clflash_attn_desc d = parse("fwd f32 hq1 sq1 sk2 d1 scale=1 kvlen");
    run(&d, &(clflash_attn_host_args){.q = q, .k = k, .v = v, .kv_lengths = &len}, &o, &lse);
    ck_assert(o == 5 && lse == (double)-3e38f);
}
END_TEST

/* ---- identities ---- */

START_TEST(values_of_one_give_one)
{
    data t;
    double o[2 * 7 * 4 * 8];
    const clflash_attn_desc d = parse("fwd f32 b2 hq4 hk2 sq7 sk9 d8 causal softcap=2");
    fill(&t, 4);
    for (int i = 0; i < MAX_N; i++)
        t.v[i] = 1;
    run(&d, &(clflash_attn_host_args){.q = t.q, .k = t.k, .v = t.v}, o, NULL);
    for (int i = 0; i < 2 * 7 * 4 * 8; i++)
        ck_assert_double_eq_tol(o[i], 1, 1e-14);
}
END_TEST

START_TEST(shifting_all_scores_shifts_the_lse_only)
{
    data t;
    double o[5 * 8], o2[5 * 8], lse[5], lse2[5];
    float bias[9];
    clflash_attn_desc d = parse("fwd f32 hq1 sq5 sk9 d8 bias");
    clflash_attn_host_args a = {
        .q = t.q, .k = t.k, .v = t.v, .bias = {.data = bias, .extent = {1, 1, 1}}
    };
    fill(&t, 5);
    for (int j = 0; j < 9; j++)
        bias[j] = 0;
    run(&d, &a, o, lse);
    for (int j = 0; j < 9; j++)
        bias[j] = 100;
    run(&d, &a, o2, lse2);
    same(o2, o, 40, 1e-12, "o");
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq_tol(lse2[i], lse[i] + 100, 1e-12);
}
END_TEST

START_TEST(gqa_is_repeated_mha)
{
    enum { SK = 6, D = 4, HQ = 6, HK = 2 };
    data t;
    float k[SK * HQ * D], v[SK * HQ * D];
    double grouped[5 * HQ * D], repeated[5 * HQ * D];
    fill(&t, 6);
    for (int j = 0; j < SK; j++)
        for (int h = 0; h < HQ; h++) {
            memcpy(k + (j * HQ + h) * D, t.k + (j * HK + h / 3) * D, D * sizeof(float));
            memcpy(v + (j * HQ + h) * D, t.v + (j * HK + h / 3) * D, D * sizeof(float));
        }
    const clflash_attn_desc gqa = parse("fwd f32 hq6 hk2 sq5 sk6 d4 causal");
    const clflash_attn_desc mha = parse("fwd f32 hq6 sq5 sk6 d4 causal");
    run(&gqa, &(clflash_attn_host_args){.q = t.q, .k = t.k, .v = t.v}, grouped, NULL);
    run(&mha, &(clflash_attn_host_args){.q = t.q, .k = k, .v = v}, repeated, NULL);
    ck_assert_mem_eq(grouped, repeated, sizeof grouped);
}
END_TEST

START_TEST(segments_are_separate_calls)
{
    enum { N0 = 5, N1 = 7, D = 4 };
    data t;
    int32_t seg[N0 + N1];
    double whole[(N0 + N1) * D], parts[(N0 + N1) * D];
    fill(&t, 7);
    for (int i = 0; i < N0 + N1; i++)
        seg[i] = i < N0 ? 9 : 3;
    clflash_attn_desc d = parse("fwd f32 hq1 sq12 d4 seg causal");
    run(&d,
        &(clflash_attn_host_args){
            .q = t.q, .k = t.k, .v = t.v, .q_segments = seg, .kv_segments = seg},
        whole, NULL);
    d = parse("fwd f32 hq1 sq5 d4 causal");
    run(&d, &(clflash_attn_host_args){.q = t.q, .k = t.k, .v = t.v}, parts, NULL);
    d = parse("fwd f32 hq1 sq7 d4 causal");
    run(&d, &(clflash_attn_host_args){.q = t.q + N0 * D, .k = t.k + N0 * D, .v = t.v + N0 * D},
        parts + N0 * D, NULL);
    same(whole, parts, (N0 + N1) * D, 1e-15, "o");
}
END_TEST

START_TEST(a_wide_window_is_causal)
{
    data t;
    double causal[8 * 4], window[8 * 4], positions[8 * 4];
    int32_t pos[8];
    fill(&t, 8);
    clflash_attn_desc d = parse("fwd f32 hq1 sq8 d4 causal");
    run(&d, &(clflash_attn_host_args){.q = t.q, .k = t.k, .v = t.v}, causal, NULL);
    d = parse("fwd f32 hq1 sq8 d4 window=8:0");
    run(&d, &(clflash_attn_host_args){.q = t.q, .k = t.k, .v = t.v}, window, NULL);
    for (int i = 0; i < 8; i++)
        pos[i] = 1000 + 3 * i; /* only their order counts */
    d = parse("fwd f32 hq1 sq8 d4 causal pos");
    run(&d,
        &(clflash_attn_host_args){
            .q = t.q, .k = t.k, .v = t.v, .q_positions = pos, .kv_positions = pos},
        positions, NULL);
    ck_assert_mem_eq(causal, window, sizeof causal);
    ck_assert_mem_eq(causal, positions, sizeof causal);
}
END_TEST

START_TEST(a_sink_is_a_key_with_value_zero)
{
    data t;
    const float sink = 0;
    double with[3 * 2], lse_with[3], extra[3 * 2], lse_extra[3];
    fill(&t, 9);
    clflash_attn_desc d = parse("fwd f32 hq1 sq3 sk4 d2 sink");
    run(&d, &(clflash_attn_host_args){.q = t.q, .k = t.k, .v = t.v, .sink = &sink}, with, lse_with);
    t.k[8] = t.k[9] = t.v[8] = t.v[9] = 0; /* a fifth key: score 0, value 0 */
    d = parse("fwd f32 hq1 sq3 sk5 d2");
    run(&d, &(clflash_attn_host_args){.q = t.q, .k = t.k, .v = t.v}, extra, lse_extra);
    same(with, extra, 6, 1e-15, "o");
    same(lse_with, lse_extra, 3, 1e-15, "lse");
}
END_TEST

/* ---- layouts, strides, broadcast, rounding ---- */

START_TEST(layouts_and_strides_agree)
{
    enum { S = 3, H = 2, D = 4, PAD = 5 };
    data t;
    float bhsd[3][S * H * D], padded[3][S * (H * D + PAD)];
    const float *in[3] = {t.q, t.k, t.v};
    float o0[S * H * D], o1[S * H * D], o2[S * (H * D + PAD)], lse0[6], lse1[6];
    fill(&t, 10);
    for (int n = 0; n < 3; n++)
        for (int s = 0; s < S; s++)
            for (int h = 0; h < H; h++)
                for (int c = 0; c < D; c++) {
                    const float x = in[n][(s * H + h) * D + c];
                    bhsd[n][(h * S + s) * D + c] = x;
                    padded[n][s * (H * D + PAD) + h * D + c] = x;
                }
    clflash_attn_desc d = parse("fwd f32 hq2 sq3 d4 causal");
    clflash_attn_host_args a = {.q = t.q, .k = t.k, .v = t.v, .o = o0, .lse = lse0};
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, &a), CLFLASH_OK);
    d.layout = CLFLASH_LAYOUT_BHSD;
    a = (clflash_attn_host_args){.q = bhsd[0], .k = bhsd[1], .v = bhsd[2], .o = o1, .lse = lse1};
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, &a), CLFLASH_OK);
    a = (clflash_attn_host_args){.q = padded[0], .k = padded[1], .v = padded[2], .o = o2};
    int64_t *const strides[] = {a.q_stride_bytes, a.k_stride_bytes, a.v_stride_bytes,
                                a.o_stride_bytes};
    for (int n = 0; n < 4; n++) {
        strides[n][1] = (H * D + PAD) * 4;
        strides[n][2] = D * 4;
    }
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, &a), CLFLASH_OK);
    ck_assert_mem_eq(lse0, lse1, sizeof lse0);
    for (int s = 0; s < S; s++)
        for (int h = 0; h < H; h++)
            for (int c = 0; c < D; c++) {
                const float want = o0[(s * H + h) * D + c];
                ck_assert(o1[(h * S + s) * D + c] == want);
                ck_assert(o2[s * (H * D + PAD) + h * D + c] == want);
            }
}
END_TEST

START_TEST(masks_broadcast_and_stride)
{
    enum { B = 2, H = 2, SQ = 3, SK = 4 };
    data t;
    float full[B * H * SQ * SK], one[SK];
    uint16_t half[SK];
    double a_o[B * SQ * H * 2], b_o[B * SQ * H * 2];
    fill(&t, 11);
    clflash_attn_desc d = parse("fwd f16 b2 hq2 sq3 sk4 d2 bias");
    uint16_t q[64], k[64], v[64];
    for (int i = 0; i < 64; i++) {
        q[i] = clflash_f16_from_f32(t.q[i]);
        k[i] = clflash_f16_from_f32(t.k[i]);
        v[i] = clflash_f16_from_f32(t.v[i]);
    }
    for (int j = 0; j < SK; j++) {
        half[j] = clflash_f16_from_f32(t.k[j]);
        one[j] = clflash_f32_from_f16(half[j]);
    }
    for (int i = 0; i < B * H * SQ * SK; i++)
        full[i] = one[i % SK];
    clflash_attn_host_args a = {.q = q, .k = k, .v = v, .bias = {.data = full}};
    run(&d, &a, a_o, NULL);
    a.bias = (clflash_host_mask){
        .data = half, .dtype = CLFLASH_F16, .extent = {1, 1, 1}
    };
    run(&d, &a, b_o, NULL);
    ck_assert_mem_eq(a_o, b_o, sizeof a_o);
    a.bias = (clflash_host_mask){
        .data = full, .stride_bytes = {4 * SK, 0, 4 * SK}
    };
    run(&d, &a, b_o, NULL);
    ck_assert_mem_eq(a_o, b_o, sizeof a_o);
}
END_TEST

START_TEST(outputs_are_rounded_once)
{
    /* 1 + 2^-8 + 2^-40 lies just above the middle of two bf16 neighbours: through float it
     * would first become the middle, and then even. The mean of these two values. */
    const float v32[2] = {1.0f, 1.0f + 0x1p-7f};
    const uint16_t zero[1] = {0}, k[2] = {0, 0};
    uint16_t v[2], o;
    const float bias[2] = {0, 0x1p-20f}; /* tips the mean upwards by less than a float's ulp */
    for (int i = 0; i < 2; i++)
        v[i] = clflash_bf16_from_f32(v32[i]);
    const clflash_attn_desc d = parse("fwd bf16 hq1 sq1 sk2 d1 bias");
    const clflash_attn_host_args a = {.q = zero, .k = k, .v = v, .o = &o, .bias = {.data = bias}};
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, &a), CLFLASH_OK);
    ck_assert_uint_eq(o, v[1]);
}
END_TEST

/* ---- arguments ---- */

START_TEST(arguments_are_checked)
{
    data t;
    float o[8];
    clflash_attn_desc d = parse("fwd f32 hq1 sq2 d2 sink");
    const float sink = 0;
    const clflash_attn_host_args good = {.q = t.q, .k = t.k, .v = t.v, .o = o, .sink = &sink};
    fill(&t, 12);
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, &good), CLFLASH_OK);
    clflash_attn_host_args a = good;
    a.q = NULL;
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, &a), CLFLASH_NULL_BUFFER);
    a = good;
    a.o = NULL;
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, &a), CLFLASH_NULL_BUFFER);
    a = good;
    a.sink = NULL;
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, &a), CLFLASH_NULL_BUFFER);
    a = good;
    a.alibi = &sink;
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, &a), CLFLASH_EXTRA_BUFFER);
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, NULL), CLFLASH_INVALID_ARGUMENT);
    d.q_heads = 0;
    ck_assert_int_eq(clflash_ref_attn_fwd(&d, &good), CLFLASH_INVALID_SIZE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ref");
    TCase *hand = tcase_create("by hand"), *identities = tcase_create("identities"),
          *views = tcase_create("views");
    tcase_add_test(hand, one_key_is_copied);
    tcase_add_test(hand, two_keys_by_hand);
    tcase_add_test(hand, terms_come_in_their_order);
    tcase_add_loop_test(hand, visibility_by_hand, 0, (int)(sizeof visible / sizeof visible[0]));
    tcase_add_test(hand, a_row_without_keys_is_zero);
    tcase_add_test(hand, zero_sizes);
    tcase_add_test(hand, nan_under_a_mask_stays_there);
    tcase_add_test(hand, nan_that_is_seen_is_nan);
    tcase_add_test(hand, any_finite_score_beats_a_masked_one);
    tcase_add_test(identities, values_of_one_give_one);
    tcase_add_test(identities, shifting_all_scores_shifts_the_lse_only);
    tcase_add_test(identities, gqa_is_repeated_mha);
    tcase_add_test(identities, segments_are_separate_calls);
    tcase_add_test(identities, a_wide_window_is_causal);
    tcase_add_test(identities, a_sink_is_a_key_with_value_zero);
    tcase_add_test(views, layouts_and_strides_agree);
    tcase_add_test(views, masks_broadcast_and_stride);
    tcase_add_test(views, outputs_are_rounded_once);
    tcase_add_test(views, arguments_are_checked);
    suite_add_tcase(suite, hand);
    suite_add_tcase(suite, identities);
    suite_add_tcase(suite, views);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
