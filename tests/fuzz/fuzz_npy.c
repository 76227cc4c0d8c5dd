/* fuzz_npy.c -- any bytes as the start of an NPY file: read within their bounds, refused
 * with a reason, or accepted with sizes that agree with each other. */
#include "bench/common/npy.h"
#include "replay.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char message[NPY_MESSAGE] = "", shape[160];
    npy_header h;
    if (!npy_parse_header(data, bytes, &h, message)) {
        FUZZ_REQUIRE(message[0] != '\0');
        return 0;
    }
    FUZZ_REQUIRE(h.n_dims >= 0 && h.n_dims <= NPY_MAX_DIMS);
    FUZZ_REQUIRE(h.data_offset >= 10 && (uint64_t)h.data_offset <= bytes);
    FUZZ_REQUIRE(h.element_bytes >= 1 && h.count <= INT64_MAX / h.element_bytes);
    int64_t count = 1;
    for (int i = 0; i < h.n_dims; i++) {
        FUZZ_REQUIRE(h.dim[i] >= 0);
        count = h.dim[i] == 0 || count == 0 ? 0 : count * h.dim[i];
    }
    FUZZ_REQUIRE(count == h.count || count == 0);
    FUZZ_REQUIRE(memchr(npy_shape_text(h.n_dims, h.dim, shape), '\0', sizeof shape));
    return 0;
}

#define SEED(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
static const fuzz_seed seeds[] = {
    SEED("\x93NUMPY\x01\x00\x3c\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"),
    SEED("\x93NUMPY\x02\x00\x39\x00\x00\x00{'descr': '|u1', 'fortran_order': False, 'shape': (7,), "
         "}"),
    SEED("\x93NUMPY\x01\x00\x3d\x00{\"shape\": (1,2,3,4), "
         "\"descr\":\"<i4\",\"fortran_order\":False }   "),
};

const fuzz_seed *fuzz_seeds(int *n)
{
    *n = (int)(sizeof seeds / sizeof seeds[0]);
    return seeds;
}
