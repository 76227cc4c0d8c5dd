/* consumer.c -- a stranger's program, valid C11 and C++17: it must compile against the
 * installed library, link and run. */
#include <clflash/clflash.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    float q[2 * 4], k[2 * 4], v[2 * 4], o[2 * 4];
    clflash_context *ctx = NULL;
    clflash_attn_desc d;
    clflash_attn_host_args a;
    for (int i = 0; i < 8; i++) {
        q[i] = 0; /* equal scores: the mean of V */
        k[i] = (float)i;
        v[i] = (float)(i / 4);
    }
    memset(&d, 0, sizeof d);
    memset(&a, 0, sizeof a);
    d.q_heads = 1;
    d.q_len = 2;
    d.head_dim = 4;
    a.q = q;
    a.k = k;
    a.v = v;
    a.o = o;
    clflash_status status = clflash_context_create(&ctx, NULL);
    if (status == CLFLASH_OK)
        status = clflash_attn_fwd_host(ctx, &d, &a);
    clflash_context_destroy(&ctx);
    printf("clflash %s: %s: %g\n", clflash_version(), clflash_status_string(status), (double)o[7]);
    return status != CLFLASH_OK || o[7] != 0.5f;
}
