/* problems.c -- problem strings from the command line. (bench) */
#include "bench/common/problems.h"

#include "bench/common/suites.h"

#include <stdio.h>
#include <string.h>

sizes sizes_of(const clflash_attn_desc *desc)
{
    return (sizes){
        .b = desc->batch == CLFLASH_EMPTY ? 0
             : desc->batch == 0           ? 1
                                          : desc->batch,
        .hq = desc->q_heads,
        .hk = desc->kv_heads ? desc->kv_heads : desc->q_heads,
        .sq = desc->q_len,
        .sk = desc->kv_len == CLFLASH_EMPTY ? 0
              : desc->kv_len                ? desc->kv_len
                                            : desc->q_len,
        .d = desc->head_dim,
        .dv = desc->value_dim ? desc->value_dim : desc->head_dim,
    };
}

bool problems_add(problems *p, const app *a, const char *text)
{
    char reason[512] = "";
    if (p->n == PROBLEMS_MAX) {
        app_message(a, "more than %d problems", PROBLEMS_MAX);
        return false;
    }
    const clflash_status status =
        clflash_attn_desc_parse(&p->desc[p->n], text, reason, sizeof reason);
    if (status != CLFLASH_OK) {
        app_message(a, "problem '%s': %s", text,
                    reason[0] ? reason : clflash_status_string(status));
        return false;
    }
    p->n++;
    return true;
}

/* Whether an argument begins a problem: its first word is an operation. */
static bool starts_problem(const char *text)
{
    static const char *const ops[] = {"fwd", "bwd", "decode"};
    text += strspn(text, " \t\n");
    const size_t n = strcspn(text, " \t\n");
    for (int i = 0; i < 3; i++)
        if (strlen(ops[i]) == n && strncmp(text, ops[i], n) == 0)
            return true;
    return false;
}

bool problems_from_args(problems *p, const app *a, char **argv, int argc)
{
    char text[CLFLASH_PROBLEM_BYTES];
    for (int i = 0; i < argc;) {
        size_t used = 0;
        text[0] = '\0';
        do {
            const size_t n = strlen(argv[i]);
            if (used + n + 2 > sizeof text) {
                app_message(a, "problem '%.60s...': longer than %d characters", argv[i],
                            CLFLASH_PROBLEM_BYTES - 1);
                return false;
            }
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? " " : "", argv[i]);
        } while (++i < argc && !starts_problem(argv[i]));
        if (!problems_add(p, a, text))
            return false;
    }
    return true;
}

static bool add_all(problems *p, const app *a, const suite *s)
{
    for (int i = 0; s->problems[i]; i++)
        if (!problems_add(p, a, s->problems[i]))
            return false;
    return true;
}

bool problems_from_suite(problems *p, const app *a, const char *name)
{
    for (const suite *s = suites; s->name; s++)
        if (strcmp(s->name, name) == 0)
            return add_all(p, a, s);
    char names[256] = "";
    for (const suite *s = suites; s->name; s++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, " %s", s->name);
    }
    app_message(a, "no suite '%s'; there are:%s", name, names);
    return false;
}

bool problems_have_op(const problems *p, const app *a, clflash_op last)
{
    for (int i = 0; i < p->n; i++) {
        if (p->desc[i].op <= last)
            continue;
        char text[CLFLASH_PROBLEM_BYTES];
        clflash_attn_desc_print(&p->desc[i], text, sizeof text);
        app_message(a, "'%s': this program of version %s runs %s only", text, clflash_version(),
                    last == CLFLASH_OP_FWD ? "the forward (fwd)" : "fwd and bwd");
        return false;
    }
    return true;
}

void problems_list_suites(void)
{
    for (const suite *s = suites; s->name; s++) {
        printf("%s%s: %s\n", s == suites ? "" : "\n", s->name, s->purpose);
        for (int i = 0; s->problems[i]; i++)
            printf("  %s\n", s->problems[i]);
    }
}
