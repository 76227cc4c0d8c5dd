/* suites.c -- named lists of problems: what each one is there to show. (bench) */
#include "bench/common/suites.h"

#include <stddef.h>

/* Every kind of mask and score term once, small enough for an emulator. */
static const char *const smoke[] = {
    "fwd f32 hq2 sq128 d64",
    "fwd f16 hq2 sq128 d64 causal",
    "fwd bf16 b2 hq4 hk2 sq65 sk97 d80 dv48 window=32:0",
    "fwd f32 hq2 sq96 d32 docs=3 causal",
    "fwd f32 b2 hq2 sq64 sk128 d64 kvlen softcap=20 sink",
    "fwd f32 hq2 sq64 d64 alibi bias bool layout=bhsd",
    "fwd f32 b2 hq2 sq64 d64 seg pos causal",
    NULL,
};

/* A CPU driver: the head sizes in use, full and causal, 16-bit storage, a ragged length. */
static const char *const cpu[] = {
    "fwd f32 hq8 sq2048 d64",          "fwd f32 hq8 sq2048 d80",
    "fwd f32 hq8 sq2048 d96",          "fwd f32 hq8 sq2048 d128",
    "fwd f32 hq8 sq4096 d64",          "fwd f32 hq8 sq4096 d128",
    "fwd f32 hq8 sq2048 d64 causal",   "fwd f32 hq8 sq2048 d128 causal",
    "fwd f32 hq8 sq4096 d64 causal",   "fwd f32 hq8 sq4096 d128 causal",
    "fwd f32 hq8 sq1023 d64",          "fwd f32 hq8 sq1023 d64 causal",
    "fwd f16 hq8 sq2048 d64",          "fwd bf16 hq8 sq2048 d64",
    "fwd bf16 hq8 sq2048 d128 causal", NULL,
};

/* Any GPU: 16384 tokens in all, so that every row has the same number of query rows. */
static const char *const gpu[] = {
    "fwd f32 b4 hq16 sq4096 d64",
    "fwd f32 b4 hq16 sq4096 d128",
    "fwd f32 b4 hq16 sq4096 d128 causal",
    "fwd f16 b16 hq16 sq1024 d128",
    "fwd f16 b4 hq16 sq4096 d64",
    "fwd f16 b4 hq16 sq4096 d128",
    "fwd f16 b4 hq16 sq4096 d128 causal",
    "fwd bf16 b16 hq16 sq1024 d64 causal",
    "fwd bf16 b4 hq16 sq4096 d128",
    "fwd bf16 b4 hq16 sq4096 d128 causal",
    "fwd bf16 b4 hq32 hk8 sq4096 d128 causal",
    "fwd bf16 b4 hq16 sq4096 d256 causal",
    "fwd bf16 b4 hq16 sq4096 d128 causal window=1024",
    NULL,
};

/* The shapes and lengths that attention on NVIDIA GPUs is usually quoted at. */
static const char *const nvidia[] = {
    "fwd bf16 b16 hq16 sq1024 d128",
    "fwd bf16 b4 hq16 sq4096 d128",
    "fwd bf16 hq16 sq16384 d128",
    "fwd bf16 b16 hq16 sq1024 d128 causal",
    "fwd bf16 b4 hq16 sq4096 d128 causal",
    "fwd bf16 hq16 sq16384 d128 causal",
    "fwd bf16 b4 hq32 sq4096 d64",
    "fwd bf16 b4 hq32 sq4096 d64 causal",
    "fwd f16 b4 hq16 sq4096 d128 causal",
    "fwd bf16 b4 hq8 sq4096 d256 causal",
    "fwd bf16 hq16 sq32768 d128 causal window=1024",
    "fwd bf16 b4 hq16 sq8192 d128 docs=12 causal",
    "fwd f32 b4 hq16 sq4096 d64",
    "fwd f32 b4 hq16 sq4096 d128",
    NULL,
};

/* Packed documents: the time should fall with the share of blocks that are visited. */
static const char *const docs[] = {
    "fwd f32 hq8 sq8192 d64 causal",
    "fwd f32 hq8 sq8192 d64 docs=3 causal",
    "fwd f32 hq8 sq8192 d64 docs=12 causal",
    "fwd f32 hq8 sq8192 d64 docs=48 causal",
    NULL,
};

/* Short sequences: launch and drain weigh more than the arithmetic. */
static const char *const short_lengths[] = {
    "fwd f32 hq1 sq512 d64",        "fwd f32 hq8 sq128 d64",
    "fwd f32 hq8 sq256 d64",        "fwd f32 hq8 sq512 d64",
    "fwd f32 hq8 sq512 d64 causal", "fwd f32 b4 hq8 sq77 d64",
    "fwd f16 hq8 sq197 d64",        NULL,
};

/* One or a few queries against many keys, as when text is generated. */
static const char *const decode_like[] = {
    "fwd f32 hq8 sq1 sk4096 d64",
    "fwd f32 hq8 sq2 sk4096 d64 causal",
    "fwd f32 hq8 sq4 sk4096 d64 causal",
    "fwd f32 hq8 sq8 sk4096 d64 causal",
    "fwd f32 hq32 hk8 sq1 sk4096 d128",
    "fwd f16 hq32 hk8 sq1 sk4096 d128",
    "fwd bf16 b4 hq32 hk8 sq1 sk4096 d128 kvlen",
    NULL,
};

/* Gradients: head sizes, causal, grouped heads, 16 bits, documents, nothing saved. */
static const char *const backward[] = {
    "bwd f32 hq8 sq2048 d64",
    "bwd f32 hq8 sq2048 d128",
    "bwd f32 hq8 sq2048 d64 causal",
    "bwd f32 hq8 sq2048 d128 causal",
    "bwd f32 hq8 hk2 sq1023 d64 causal",
    "bwd bf16 hq8 sq2048 d128 causal grad=f32",
    "bwd f32 hq8 sq4096 d64 docs=12 causal",
    "bwd f32 hq8 sq2048 d64 causal recompute",
    NULL,
};

const suite suites[] = {
    {"smoke",       "every kind of mask and term once, tiny",            smoke        },
    {"cpu",         "CPU drivers: head sizes, causal, 16-bit storage",   cpu          },
    {"gpu",         "any GPU: f32, f16 and bf16, GQA, a window",         gpu          },
    {"nvidia",      "the shapes that NVIDIA GPUs are usually quoted at", nvidia       },
    {"docs",        "packed documents beside the same length without",   docs         },
    {"short",       "short sequences, where launches weigh",             short_lengths},
    {"decode-like", "one to eight queries against 4096 keys",            decode_like  },
    {"backward",    "gradients: full, causal, grouped, documents",       backward     },
    {NULL,          NULL,                                                NULL         },
};
