/* json_check.c -- is standard input JSON, and has it these paths?
 * usage: json_check PATH... with PATH as "results.0.device_ms.median"; exit 0 when all are
 * there. Prints what is missing. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const json_t *step(const json_t *at, const char *key)
{
    if (json_is_array(at))
        return json_array_get(at, (size_t)strtoul(key, NULL, 10));
    return json_object_get(at, key);
}

static int has_path(const json_t *root, const char *path)
{
    char copy[256];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok(copy, "."); key && root; key = strtok(NULL, "."))
        root = step(root, key);
    if (!root)
        fprintf(stderr, "no %s\n", path);
    return root != NULL;
}

int main(int argc, char **argv)
{
    json_error_t error;
    json_t *root = json_loadf(stdin, JSON_REJECT_DUPLICATES, &error);
    int ok = root != NULL;
    if (!root)
        fprintf(stderr, "line %d: %s\n", error.line, error.text);
    for (int i = 1; i < argc && root; i++)
        ok = has_path(root, argv[i]) && ok;
    json_decref(root);
    return !ok;
}
