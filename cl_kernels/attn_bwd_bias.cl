/* attn_bwd_bias.cl -- the gradient of the additive mask, for every engine: ds of each pair,
 * summed over the axes that the bias is broadcast along.
 *
 * A work-group owns a tile of dbias, (T_Y T_R) query rows x (T_X T_C CLF_LANES) keys, and takes
 * the summed batches, heads and, where the bias is one row, query blocks in turn: one order,
 * the same bits each time. t = q.k and dp = dO.V are made again, DEPTH columns at a time.
 *
 * CLF_LANES  keys at a time: 8 or 16 on CPUs, 1 on GPUs                          (device)
 * T_X, T_Y   work-items along keys and along queries: 1, 1 on CPUs
 * T_R, T_C   rows and vectors of keys per work-item
 * Needs      T_Y <= DEPTH; local memory 4 DEPTH (rows + keys + 2) bytes.
 * Grid       global (T_X ceil(Sk / keys), T_Y ceil(Sq' / rows), B' Hq'), local (T_X, T_Y, 1);
 *            B', Hq', Sq' are dbias's own extents.
 * Math       docs/math.md#backward; checked against lib/ref/ref_attn_bwd.c. */
#include "scores.clh"

#include "attn_bwd.clh"

#if !defined(T_X) || !defined(T_Y) || !defined(T_R) || !defined(T_C)
#error "attn_bwd_bias.cl: the host must pass T_X, T_Y, T_R and T_C"
#endif

#define DEPTH 16
#define ROWS (T_Y * T_R)
#define KEYS (T_X * T_C * CLF_LANES)
/* One more where neighbours write a column: their banks differ. */
#define ROWS_LD (ROWS + (CLF_LANES == 1))
#define KEYS_LD (KEYS + (CLF_LANES == 1))

#if T_Y > DEPTH || !P_BIAS
#error "attn_bwd_bias.cl: T_Y is at most DEPTH, and there is a bias"
#endif

/* First key of the work-item's vector c, from the tile's first. */
CLF_INLINE int key_of(int c)
{
    return (c * T_X + (int)get_local_id(0)) * CLF_LANES;
}

/* to[d][row] = from[row][c0 + d]; 0 past `rows` and past `width`. */
CLF_INLINE void load_tile(__local float *to, int ld, int n, __global const clf_t *from, long stride,
                          int rows, int c0, int width)
{
    const int lid = (int)(get_local_id(1) * T_X + get_local_id(0));
    for (int e = lid; e < n * DEPTH; e += T_X * T_Y) {
        const int row = e / DEPTH, d = e % DEPTH;
        to[d * ld + row] =
            row < rows && c0 + d < width ? CLF_LOAD(from + row * stride + c0 + d) : 0.0f;
    }
}

/* acc[r][c] = sum over `width` columns of row r times key c. */
CLF_INLINE void multiply(clf_vf acc[T_R][T_C], __local float *row_tile, __local float *key_tile,
                         __global const clf_t *row_from, long row_stride, int rows,
                         __global const clf_t *key_from, long key_stride, int keys, int width)
{
    for (int r = 0; r < T_R; r++)
        for (int c = 0; c < T_C; c++)
            acc[r][c] = (clf_vf)(0.0f);
    for (int c0 = 0; c0 < width; c0 += DEPTH) {
        barrier(CLK_LOCAL_MEM_FENCE);
        load_tile(row_tile, ROWS_LD, ROWS, row_from, row_stride, rows, c0, width);
        load_tile(key_tile, KEYS_LD, KEYS, key_from, key_stride, keys, c0, width);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int d = 0; d < DEPTH; d++) {
            clf_vf key[T_C];
            for (int c = 0; c < T_C; c++)
                key[c] = V_LOAD(key_tile + d * KEYS_LD + key_of(c));
            for (int r = 0; r < T_R; r++) {
                const float row = row_tile[d * ROWS_LD + (int)get_local_id(1) * T_R + r];
                for (int c = 0; c < T_C; c++)
                    acc[r][c] = mad((clf_vf)(row), key[c], acc[r][c]);
            }
        }
    }
}

/* CLF_LANES elements from e on, of which n exist. */
CLF_INLINE void store(clf_attn_bwd_args x, __global void *dbias, long e, int n, clf_vf value)
{
    float v[CLF_LANES];
    V_STORE(value, v);
    for (int l = 0; l < min(n, CLF_LANES); l++) {
        __global float *f32 = (__global float *)dbias + e + l;
        __global clf_t *own = (__global clf_t *)dbias + e + l;
        const float old = x.beta_dbias == 0.0f ? 0.0f : x.dbias_f32 ? *f32 : CLF_LOAD(own);
        const float new = x.beta_dbias == 0.0f ? v[l] : mad(x.beta_dbias, old, v[l]);
        if (x.dbias_f32)
            *f32 = new;
        else
            CLF_STORE(new, own);
    }
}

__kernel __attribute__((reqd_work_group_size(T_X, T_Y, 1))) void
clf_attn_bwd_bias(__global const clf_t *q, __global const clf_t *k, __global const clf_t *v,
                  __global const clf_t *dout, __global const float *work, __global void *dbias,
                  CLF_MASK_PARAMS const clf_attn_bwd_args x)
{
    __local float row_tile[DEPTH * ROWS_LD], key_tile[DEPTH * KEYS_LD];
    const clf_attn_args a = x.f;
    const int j0 = (int)get_group_id(0) * KEYS, keys = min(KEYS, a.sk - j0);
    const int ly = (int)get_local_id(1), bh = (int)get_group_id(2);
    const int one_row = x.dbias_q == 1;
    const int out_b = bh / x.dbias_h, out_h = bh % x.dbias_h;
    const int out_i = one_row ? 0 : (int)get_group_id(1) * ROWS;
    const int b1 = x.dbias_b == 1 ? a.b : out_b + 1, h1 = x.dbias_h == 1 ? a.hq : out_h + 1;
    const int i1 = one_row ? a.sq : min(out_i + ROWS, a.sq);
    clf_vf sum[T_R][T_C];
    for (int r = 0; r < T_R; r++)
        for (int c = 0; c < T_C; c++)
            sum[r][c] = (clf_vf)(0.0f);

    for (int b = out_b; b < b1; b++) {
        for (int h = out_h; h < h1; h++) {
            for (int i0 = out_i; i0 < i1; i0 += ROWS) {
                const int rows = min(ROWS, a.sq - i0);
                const int2 range = clf_kv_range(a, i0, i0 + rows, CLF_KV_LEN(b));
                if (range.x >= j0 + keys || range.y <= j0)
                    continue;
                clf_vf t[T_R][T_C], dp[T_R][T_C];
                const int hk = h / a.group;
                multiply(t, row_tile, key_tile, q + a.q_off + b * a.q_sb + i0 * a.q_ss + h * a.q_sh,
                         a.q_ss, rows, k + a.k_off + b * a.k_sb + j0 * a.k_ss + hk * a.k_sh, a.k_ss,
                         keys, P_D);
                multiply(dp, row_tile, key_tile,
                         dout + x.do_off + b * x.do_sb + i0 * x.do_ss + h * x.do_sh, x.do_ss, rows,
                         v + a.v_off + b * a.v_sb + j0 * a.v_ss + hk * a.v_sh, a.v_ss, keys, P_DV);
                for (int r = 0; r < T_R; r++) {
                    const int i = i0 + ly * T_R + r;
                    if (i >= i1)
                        continue;
                    const clf_score_row row = clf_get_score_row(CLF_MASK_ARGS a, b, h, i);
                    const float lse4 = CLF_BWD_LSE4(CLF_BWD_ROW(b, h, i));
                    const float delta = CLF_BWD_DELTA(CLF_BWD_ROW(b, h, i));
                    for (int c = 0; c < T_C; c++) {
                        if (key_of(c) >= keys)
                            continue;
                        clf_vi sees;
                        const clf_vf s = clf_masked_score(CLF_MASK_ARGS a, row, j0 + key_of(c),
                                                          a.scale * t[r][c], &sees);
                        const clf_vf ds = exp2(2.0f * (s - lse4)) * (dp[r][c] - delta);
                        sum[r][c] += V_SELECT((clf_vf)(0.0f), ds, sees);
                    }
                }
            }
        }
    }

    if (one_row) { /* the work-item's rows, then the work-items' */
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int c = 0; c < T_C; c++) {
            for (int r = 1; r < T_R; r++)
                sum[0][c] += sum[r][c];
            V_STORE(sum[0][c], key_tile + ly * KEYS_LD + key_of(c));
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int c = 0; c < T_C && ly == 0; c++)
            for (int y = 1; y < T_Y; y++)
                sum[0][c] += V_LOAD(key_tile + y * KEYS_LD + key_of(c));
    }
    for (int r = 0; r < (one_row ? 1 : T_R); r++) {
        const int i = one_row ? ly : out_i + ly * T_R + r;
        for (int c = 0; c < T_C && i < x.dbias_q; c++)
            store(x, dbias,
                  x.dbias_off + out_b * x.dbias_sb + out_h * x.dbias_sh + i * x.dbias_ss + j0 +
                      key_of(c),
                  keys - key_of(c), sum[r][c]);
    }
}
