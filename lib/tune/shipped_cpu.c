/* shipped_cpu.c -- rows for CPU drivers, by vector width, not by name. (L3)
 * Most special first; a row says what it was measured against. "Safe" is the engine's safe
 * row in the same run. Engine vector_few needs none: its safe row follows the problem. */
#include "lib/tune/shipped.h"

const clfi_shipped clfi_shipped_cpu[] = {
  /* AVX-512: 4 x 4 float16 tiles; the more groups, the fewer passes over K and V. */
    {.engine = "vector",
     .vector_width = 16,
     .sq_max = 16,
     .row = "T_W=16 T_NV=1 T_BR=8 T_G=1 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured =
         "not timed: no lanes without a query; vector_few serves these unless vector is asked for"},
    {.engine = "vector",
     .vector_width = 16,
     .sq_max = 32,
     .row = "T_W=16 T_NV=2 T_BR=8 T_G=1 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "not timed: no lanes without a query, 2 vectors hold all 32"},
    {.engine = "vector",
     .vector_width = 16,
     .blocks = 1,
     .fill = 2,
     .row = "T_W=16 T_NV=3 T_BR=8 T_G=4 T_BKV=64 T_PACK=0 T_UD=4 T_UJ=2",
     .measured =
         "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25, clflash_tune: f32 hq2 sq8192 d64 causal "
         "docs=12 5.20 ms, the row below 6.30; f32 only, 16-bit storage needs T_PACK"},
    {.engine = "vector",
     .vector_width = 16,
     .blocks = 1,
     .fill = 2,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=3 T_BKV=64 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25: sq8192 d64 causal docs=12: 133 "
                 "GFLOP/s a core; G=16 BKV=128 125, 3x8 tile 124"},
    {.engine = "vector",
     .vector_width = 16,
     .fill = 2,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=16 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25: sq2048 hq8 d64/128: 385/399 GFLOP/s "
                 "of a peak of 466/450; safe 341/337; G=8 377/392"},
    {.engine = "vector",
     .vector_width = 16,
     .fill = 2,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=8 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25: sq2048 hq8 d64/128: 377/392 GFLOP/s "
                 "of a peak of 471/456; safe 341/337; G=4 351/360"},
    {.engine = "vector",
     .vector_width = 16,
     .fill = 2,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=4 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25: sq2048 hq8 d64/128: 351/360 GFLOP/s "
                 "of a peak of 461/448; safe 341/337"},
    {.engine = "vector",
     .vector_width = 16,
     .fill = 2,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=2 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25: sq512 hq1 d64: 0.236 ms, G=1 0.266, "
                 "G=4 0.376"},
    {.engine = "vector",
     .vector_width = 16,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=1 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25: sq512 hq1 d64: 0.266 ms; for "
                 "problems of few groups"},
 /* AVX2: 4 x 3 float8 tiles fill its 16 registers. */
    {.engine = "vector",
     .vector_width = 8,
     .sq_max = 8,
     .row = "T_W=8 T_NV=1 T_BR=4 T_G=1 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured =
         "not timed: no lanes without a query; vector_few serves these unless vector is asked for"},
    {.engine = "vector",
     .vector_width = 8,
     .blocks = 1,
     .fill = 2,
     .row = "T_W=8 T_NV=3 T_BR=4 T_G=4 T_BKV=64 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "not timed with 8 lanes: key blocks of 64 as on AVX-512 (133 against 125 GFLOP/s "
                 "there with T_BKV=128)"},
    {.engine = "vector",
     .vector_width = 8,
     .fill = 2,
     .row = "T_W=8 T_NV=3 T_BR=4 T_G=8 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "T_W=8 on a Xeon, PoCL 3.1, 2026-11-25, one core, share of the 256-bit peak at "
                 "sq2048 d64/128: 86 % / 89 %; G=4 without packing 89 % / 82 %"},
    {.engine = "vector",
     .vector_width = 8,
     .fill = 2,
     .row = "T_W=8 T_NV=3 T_BR=4 T_G=4 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "EPYC Zen 3 2 cores, PoCL 3.1, 2026-11-23: G 2 to 6 within noise at sq2048, 1 "
                 "loses 5-9 points"},
    {.engine = "vector",
     .vector_width = 8,
     .fill = 2,
     .row = "T_W=8 T_NV=3 T_BR=4 T_G=2 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "EPYC Zen 3 2 cores, PoCL 3.1, 2026-11-23: G 2 to 6 within noise at sq2048, 1 "
                 "loses 5-9 points"},
    {.engine = "vector",
     .vector_width = 8,
     .row = "T_W=8 T_NV=3 T_BR=4 T_G=1 T_BKV=128 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "EPYC Zen 3 2 cores, PoCL 3.1, 2026-11-23: sq512 hq1: G=1 70-76 % of peak, G=4 "
                 "64-68 %, G=8 51-53 %"},
 /* The backward, AVX-512: the more groups, the fewer passes over Q, dO and dQ; the more parts,
  * the more work-groups and the more dQ to sum. */
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 16,
     .fill = 2,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=8 T_BQ=128 T_PARTS=1 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25, one core, sq2048 hq8 d64/128: "
                 "186/184 GFLOP/s of a peak of "
                 "249, causal 172/174; G=4 179/185, causal 169/168"},
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 16,
     .fill = 1,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=8 T_BQ=128 T_PARTS=2 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25: sq2048 hq1 d64: 6.92 ms, PARTS=1 "
                 "13.8; sq512 hq2 0.97 ms, "
                 "PARTS=1 1.06"},
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 16,
     .fill = 1,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=8 T_BQ=128 T_PARTS=4 T_PACK=1 T_UD=4 T_UJ=2",
     .measured =
         "not timed on many cores; there as PARTS=2 on 2 cores: more work-groups for few heads"},
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 16,
     .fill = 2,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=4 T_BQ=128 T_PARTS=1 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25, one core, sq2048 hq8 d128: 185 "
                 "GFLOP/s, G=8 184: where G=8 "
                 "does not fit"},
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 16,
     .fill = 1,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=4 T_BQ=128 T_PARTS=2 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25: sq1024 hq1 d64: 1.80 ms, PARTS=4 "
                 "1.80, G=2 PARTS=4 2.00"},
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 16,
     .fill = 1,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=4 T_BQ=128 T_PARTS=4 T_PACK=1 T_UD=4 T_UJ=2",
     .measured =
         "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25: sq1024 hq1 d64: 1.80 ms, G=2 PARTS=8 2.03"},
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 16,
     .row = "T_W=16 T_NV=4 T_BR=4 T_G=1 T_BQ=128 T_PARTS=32 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "Xeon 2 cores AVX-512, PoCL 3.1, 2026-11-25: sq512 hq1 d64, PARTS=8: 0.53 ms, G=8 "
                 "PARTS=1 0.91; for "
                 "problems of few groups"},
 /* The backward, AVX2: 6 x 2 float8 tiles. */
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 8,
     .fill = 2,
     .row = "T_W=8 T_NV=2 T_BR=6 T_G=8 T_BQ=96 T_PARTS=1 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "T_W=8 on a Xeon, PoCL 3.1, 2026-11-25, one core, sq2048 hq8 d64/128: 97.5/99.6 "
                 "GFLOP/s of a 256-bit peak of 125; 4x3 tile 93.3/96.1, with G=4 90.4/93.2"},
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 8,
     .fill = 1,
     .row = "T_W=8 T_NV=2 T_BR=6 T_G=8 T_BQ=96 T_PARTS=2 T_PACK=1 T_UD=4 T_UJ=2",
     .measured =
         "not timed with 8 lanes: parts as on AVX-512 (6.92 against 13.8 ms at sq2048 hq1 there)"},
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 8,
     .fill = 1,
     .row = "T_W=8 T_NV=2 T_BR=6 T_G=4 T_BQ=96 T_PARTS=4 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "not timed with 8 lanes: parts as on AVX-512 (1.80 ms at sq1024 hq1 there)"},
    {.op = CLFLASH_OP_BWD,
     .engine = "vector",
     .vector_width = 8,
     .row = "T_W=8 T_NV=2 T_BR=6 T_G=2 T_BQ=96 T_PARTS=32 T_PACK=1 T_UD=4 T_UJ=2",
     .measured = "not timed with 8 lanes: for problems of few groups, as on AVX-512"},
    {.engine = NULL                         },
};
