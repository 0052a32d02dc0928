#include "api/proc_value.h"

#include <stdio.h>
#include <string.h>

void wn_proc_value(const char *path, const char *key, char *out, size_t cap)
{
    out[0] = '\0';
    FILE *file = fopen(path, "r");
    char line[512];
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) != 0 || !colon)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, cap, "%s", colon);
        break;
    }
    if (file)
        fclose(file);
}
