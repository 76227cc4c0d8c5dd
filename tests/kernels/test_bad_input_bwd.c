/* test_bad_input_bwd.c -- every rule of attention.h that the backward adds, broken once: its own
 * status, a message that names the tensor, and no gradient touched. The rules that it shares
 * with the forward are test_bad_input.c's. */
#include "tests/support/device.h"
#include "tests/support/main.h"

#include <string.h>

/* Uses every buffer there is. */
#define FULL "bwd f16 b2 hq4 hk2 sq9 sk13 d8 dv12 causal sink bias | bias=3"
#define PLAIN "bwd f16 b2 hq4 hk2 sq9 sk13 d8 dv12"

typedef clflash_attn_bwd_args args;

static void null_dout(args *a) { a->dout.buffer = NULL; }
static void null_o(args *a) { a->o.buffer = NULL; }
static void null_lse(args *a) { a->lse.buffer = NULL; }
static void null_q(args *a) { a->q.buffer = NULL; }
static void null_sink(args *a) { a->sink.buffer = NULL; }
static void null_bias(args *a) { a->bias.buffer = NULL; }
static void extra_dsink(args *a) { a->dsink.buffer = a->q.buffer; }
static void extra_dbias(args *a) { a->dbias.buffer = a->q.buffer; }
static void short_dq(args *a) { a->dq.offset_bytes = 2; }
static void short_dout(args *a) { a->dout.offset_bytes = 2; }
static void short_dsink(args *a) { a->dsink.offset_bytes = 4; }
static void short_dbias(args *a) { a->dbias.offset_bytes = 4; }
static void odd_dk(args *a) { a->dk.offset_bytes = 1; }
static void odd_dv(args *a) { a->dv.stride_bytes[1] = 3; }
static void negative_dq(args *a) { a->dq.stride_bytes[0] = -2; }
static void broadcast_dk(args *a) { a->dk.stride_bytes[1] = 16; } /* key heads on one another */
static void dq_on_q(args *a) { a->dq.buffer = a->q.buffer; }
static void dq_on_dout(args *a) { a->dq.buffer = a->dout.buffer; }
static void dk_on_o(args *a) { a->dk.buffer = a->o.buffer; }
static void dv_on_dk(args *a)
{
    a->dk.buffer = a->dv.buffer;
    a->dk.offset_bytes = 0;
}
static void dsink_on_lse(args *a) { a->dsink = a->lse; }
static void dsink_on_sink(args *a) { a->dsink = a->sink; }
static void dbias_on_bias(args *a) { a->dbias = a->bias; }
static void dbias_dtype(args *a) { a->dbias.dtype = CLFLASH_BF16; }
static void dbias_heads(args *a) { a->dbias.extent[1] = 0; }
static void dbias_rows(args *a) { a->dbias.stride_bytes[2] = 4; }

static const struct {
    const char *text;
    void (*spoil)(args *);
    const char *word;
    clflash_status status;
} rules[] = {
    {FULL,            null_dout,     "dout",  CLFLASH_NULL_BUFFER     },
    {FULL,            null_o,        "o",     CLFLASH_NULL_BUFFER     },
    {FULL,            null_lse,      "lse",   CLFLASH_NULL_BUFFER     },
    {FULL,            null_q,        "q",     CLFLASH_NULL_BUFFER     },
    {FULL,            null_sink,     "sink",  CLFLASH_NULL_BUFFER     },
    {FULL,            null_bias,     "bias",  CLFLASH_NULL_BUFFER     },
    {PLAIN,           extra_dsink,   "dsink", CLFLASH_EXTRA_BUFFER    },
    {PLAIN,           extra_dbias,   "dbias", CLFLASH_EXTRA_BUFFER    },
    {FULL " views=3", short_dq,      "dq",    CLFLASH_BUFFER_TOO_SMALL},
    {FULL " views=3", short_dout,    "dout",  CLFLASH_BUFFER_TOO_SMALL},
    {FULL " views=3", short_dsink,   "dsink", CLFLASH_BUFFER_TOO_SMALL},
    {FULL " views=3", short_dbias,   "dbias", CLFLASH_BUFFER_TOO_SMALL},
    {FULL,            odd_dk,        "dk",    CLFLASH_INVALID_STRIDE  },
    {FULL " views=2", odd_dv,        "dv",    CLFLASH_INVALID_STRIDE  },
    {FULL " views=2", negative_dq,   "dq",    CLFLASH_INVALID_STRIDE  },
    {FULL " views=2", broadcast_dk,  "dk",    CLFLASH_BUFFER_OVERLAP  },
    {FULL,            dq_on_q,       "dq",    CLFLASH_BUFFER_OVERLAP  },
    {FULL,            dq_on_dout,    "dq",    CLFLASH_BUFFER_OVERLAP  },
    {FULL,            dk_on_o,       "dk",    CLFLASH_BUFFER_OVERLAP  },
    {FULL,            dv_on_dk,      "dv",    CLFLASH_BUFFER_OVERLAP  },
    {FULL,            dsink_on_lse,  "dsink", CLFLASH_BUFFER_OVERLAP  },
    {FULL,            dsink_on_sink, "dsink", CLFLASH_BUFFER_OVERLAP  },
    {FULL,            dbias_on_bias, "dbias", CLFLASH_BUFFER_OVERLAP  },
    {FULL,            dbias_dtype,   "dbias", CLFLASH_INVALID_DTYPE   },
    {FULL " views=3", dbias_heads,   "dbias", CLFLASH_BUFFER_TOO_SMALL},
    {FULL " views=1", dbias_heads,   "dbias", CLFLASH_INVALID_SIZE    },
    {FULL " views=2", dbias_rows,    "dbias", CLFLASH_BUFFER_OVERLAP  },
};
enum { N_RULES = sizeof rules / sizeof rules[0] };

static clflash_plan *plan_of(clft_session *s, const char *text, clft_case *c)
{
    clflash_plan *plan = NULL;
    clft_case_make_text(c, text);
    clft_case_solve(c);
    ck_assert_int_eq(clflash_attn_bwd_plan(&plan, s->ctx, &c->p.desc, NULL), CLFLASH_OK);
    return plan;
}

static void expect_text(const clft_session *s, const char *word)
{
    char text[2048];
    clflash_context_last_error(s->ctx, text, sizeof text);
    ck_assert_msg(strstr(text, word) && strstr(text, "bwd f16 "), "%s is not in: %s", word, text);
}

START_TEST(a_broken_rule_is_named)
{
    clft_session *s = clft_session_get();
    clft_case c;
    clft_upload u;
    cl_event event = (cl_event)s;
    clflash_plan *plan = plan_of(s, rules[_i].text, &c);
    clft_upload_make(&u, s, &c);
    const args good = u.bwd;
    rules[_i].spoil(&u.bwd);
    const clflash_status status = clflash_attn_bwd(plan, NULL, &u.bwd, 0, NULL, &event);
    ck_assert_msg(status == rules[_i].status, "rule %d (%s): %s", _i, rules[_i].word,
                  clflash_status_string(status));
    ck_assert_ptr_null(event);
    expect_text(s, rules[_i].word);
    clft_download(&u, s, &c);
    for (int array = CLFT_DQ; array <= CLFT_DBIAS; array++)
        if (clft_is_output(&c, array))
            ck_assert_mem_eq(c.got[array], c.image[array].bytes, c.image[array].total);
    u.bwd = good; /* and the plan is as good as before */
    char why[512];
    clft_execute(s, &c, plan, &u);
    clft_download(&u, s, &c);
    ck_assert_msg(clft_case_check(&c, why, sizeof why), "%s", why);
    clft_upload_free(&u);
    clflash_plan_destroy(&plan);
    clft_case_free(&c);
}
END_TEST

START_TEST(plans_and_calls_keep_to_their_operation)
{
    clft_session *s = clft_session_get();
    clft_case c;
    clft_upload u;
    clflash_plan *plan = plan_of(s, PLAIN, &c), *other = NULL;
    clflash_attn_desc desc = c.p.desc;
    clft_upload_make(&u, s, &c);
    ck_assert_int_eq(clflash_attn_fwd_plan(&other, s->ctx, &desc, NULL), CLFLASH_INVALID_ARGUMENT);
    ck_assert_ptr_null(other);
    ck_assert_int_eq(clflash_attn_fwd(plan, NULL, &u.args, 0, NULL, NULL), CLFLASH_FOREIGN_PLAN);
    ck_assert_int_eq(clflash_attn_bwd(NULL, NULL, &u.bwd, 0, NULL, NULL), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_bwd(plan, NULL, NULL, 0, NULL, NULL), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_bwd(plan, NULL, &u.bwd, 1, NULL, NULL), CLFLASH_INVALID_ARGUMENT);
    desc.op = CLFLASH_OP_FWD;
    ck_assert_int_eq(clflash_attn_bwd_plan(&other, s->ctx, &desc, NULL), CLFLASH_INVALID_ARGUMENT);
    ck_assert_int_eq(clflash_attn_fwd_plan(&other, s->ctx, &desc, NULL), CLFLASH_OK);
    ck_assert_int_eq(clflash_attn_bwd(other, NULL, &u.bwd, 0, NULL, NULL), CLFLASH_FOREIGN_PLAN);
    clflash_plan_destroy(&other);
    clft_upload_free(&u);
    clflash_plan_destroy(&plan);
    clft_case_free(&c);
}
END_TEST

/* With recompute the forward's results are not the caller's to give. */
START_TEST(recompute_takes_no_o_and_no_lse)
{
    clft_session *s = clft_session_get();
    clft_case c;
    clft_upload u;
    clflash_plan *plan = plan_of(s, PLAIN " recompute", &c);
    clft_upload_make(&u, s, &c);
    u.bwd.o.buffer = u.bwd.dout.buffer;
    ck_assert_int_eq(clflash_attn_bwd(plan, NULL, &u.bwd, 0, NULL, NULL), CLFLASH_EXTRA_BUFFER);
    expect_text(s, "recompute");
    u.bwd.o.buffer = NULL;
    u.bwd.lse.buffer = u.bwd.dout.buffer;
    ck_assert_int_eq(clflash_attn_bwd(plan, NULL, &u.bwd, 0, NULL, NULL), CLFLASH_EXTRA_BUFFER);
    clft_upload_free(&u);
    clflash_plan_destroy(&plan);
    clft_case_free(&c);
}
END_TEST

/* Forward and backward on the device, one after the other on one queue: what a training step
 * does. The gradients are those of the reference. */
START_TEST(a_training_step)
{
    static const char *const texts[] = {
        "bwd f32 b2 hq4 hk2 sq37 sk70 d40 causal sink",
        "bwd f16 b2 hq4 hk2 sq37 sk70 d40 causal seg | seg=1",
    };
    clft_session *s = clft_session_get();
    clft_case c;
    clft_upload u;
    char why[512];
    clflash_plan *bwd = plan_of(s, texts[_i], &c), *fwd = NULL;
    clflash_attn_desc desc = c.p.desc;
    desc.op = CLFLASH_OP_FWD;
    ck_assert_int_eq(clflash_attn_fwd_plan(&fwd, s->ctx, &desc, NULL), CLFLASH_OK);
    memset(c.image[CLFT_O].bytes, 0xff, (size_t)c.image[CLFT_O].total);
    memset(c.image[CLFT_LSE].bytes, 0xff, (size_t)c.image[CLFT_LSE].total);
    clft_upload_make(&u, s, &c);
    ck_assert_int_eq(clflash_attn_fwd(fwd, s->in_order, &u.args, 0, NULL, NULL), CLFLASH_OK);
    ck_assert_int_eq(clflash_attn_bwd(bwd, s->in_order, &u.bwd, 0, NULL, NULL), CLFLASH_OK);
    clft_download(&u, s, &c);
    ck_assert_msg(clft_case_check(&c, why, sizeof why), "\"%s\": %s", c.name, why);
    clft_upload_free(&u);
    clflash_plan_destroy(&fwd);
    clflash_plan_destroy(&bwd);
    clft_case_free(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bad_input_bwd");
    clft_add(suite, a_broken_rule_is_named, N_RULES);
    clft_add(suite, plans_and_calls_keep_to_their_operation, 1);
    clft_add(suite, recompute_takes_no_o_and_no_lse, 1);
    clft_add(suite, a_training_step, 2);
    return clft_main(suite, clft_session_end);
}
