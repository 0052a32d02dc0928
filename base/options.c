#include "base/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/utf8.h"

typedef struct option_value {
    char *str; /* as given; NULL = the default */
    double num;
    int64_t integer;
    bool boolean, is_set;
} option_value;

struct wn_options {
    const wn_option *table;
    size_t n;
    option_value *values;
};

static size_t table_length(const wn_option *table)
{
    size_t n = 0;
    while (table[n].name)
        n++;
    return n;
}

static bool find_option(const wn_option *table, const char *name, size_t len, size_t *index)
{
    for (size_t i = 0; table[i].name; i++) {
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

/* Levenshtein distance, for names up to 63 bytes. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64], la = strlen(a), lb = strlen(b);
    if (la > 63 || lb > 63)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < best ? change : best;
        }
    }
    return row[lb];
}

const char *wn_nearest_name(const char *name, const char *const *names)
{
    const char *best = NULL;
    size_t best_distance = 4;
    for (size_t i = 0; names[i]; i++) {
        size_t d = edit_distance(name, names[i]);
        if (d < best_distance) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

static wn_status unknown_option(const wn_option *table, const char *name, wn_error *err)
{
    const char *names[128] = {0};
    for (size_t i = 0; table[i].name && i < 127; i++)
        names[i] = table[i].name;
    const char *nearest = wn_nearest_name(name, names);
    if (nearest)
        return wn_error_set(err, WN_INVALID, "unknown option \"%s\"; did you mean \"%s\"?", name,
                            nearest);
    return wn_error_set(err, WN_INVALID, "unknown option \"%s\"; see --help", name);
}

static wn_status parse_bool(const char *name, const char *text, bool *out, wn_error *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no",
                                                                                "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *out = strcasecmp(text, yes[i]) == 0;
            return WN_OK;
        }
    }
    return wn_error_set(err, WN_INVALID, "%s: \"%s\" is not true or false", name, text);
}

static wn_status parse_number(const wn_option *o, const char *text, option_value *v, wn_error *err)
{
    char *end = NULL;
    errno = 0;
    if (o->type == WN_OPT_INT) {
        long long n = strtoll(text, &end, 10);
        v->integer = n;
        v->num = (double)n;
    } else {
        v->num = strtod(text, &end);
    }
    if (end == text || *end != '\0' || errno == ERANGE || !isfinite(v->num))
        return wn_error_set(err, WN_INVALID, "%s: \"%s\" is not %s", o->name, text,
                            o->type == WN_OPT_INT ? "a whole number" : "a number");
    if (o->min < o->max && (v->num < o->min || v->num > o->max))
        return wn_error_set(err, WN_INVALID, "%s: %s is outside %g to %g", o->name, text, o->min,
                            o->max);
    return WN_OK;
}

static wn_status assign(wn_options *o, size_t i, const char *text, bool is_set, wn_error *err)
{
    option_value v = {.is_set = is_set};
    if (o->table[i].type == WN_OPT_BOOL)
        WN_TRY(parse_bool(o->table[i].name, text, &v.boolean, err));
    else if (o->table[i].type != WN_OPT_STR)
        WN_TRY(parse_number(&o->table[i], text, &v, err));
    v.str = wn_strdup(text);
    if (!v.str)
        return wn_error_set(err, WN_NO_MEMORY, "options: out of memory");
    free(o->values[i].str);
    o->values[i] = v;
    return WN_OK;
}

wn_status wn_options_open(wn_options **out, const wn_option *table, wn_error *err)
{
    wn_options *o = wn_alloc(1, sizeof *o);
    if (!o)
        return wn_error_set(err, WN_NO_MEMORY, "options: out of memory");
    o->table = table;
    o->n = table_length(table);
    o->values = wn_alloc(o->n, sizeof *o->values);
    wn_status status =
        o->values ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "options: out of memory");
    for (size_t i = 0; status == WN_OK && i < o->n; i++)
        if (table[i].def)
            status = assign(o, i, table[i].def, false, err);
    if (status != WN_OK) {
        wn_options_close(o);
        return status;
    }
    *out = o;
    return WN_OK;
}

void wn_options_close(wn_options *o)
{
    if (!o)
        return;
    for (size_t i = 0; o->values && i < o->n; i++)
        free(o->values[i].str);
    free(o->values);
    free(o);
}

wn_status wn_options_set(wn_options *o, const char *name, const char *value, wn_error *err)
{
    size_t i = 0;
    if (!find_option(o->table, name, strlen(name), &i))
        return unknown_option(o->table, name, err);
    return assign(o, i, value, true, err);
}

static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t len = strlen(s);
    while (len > 0 && isspace((unsigned char)s[len - 1]))
        s[--len] = '\0';
    return s;
}

static wn_status set_line(wn_options *o, char *line, const wn_option *foreign, const char *where,
                          wn_error *err)
{
    char *text = trim(line);
    if (*text == '\0' || *text == '#')
        return WN_OK;
    char *equals = strchr(text, '=');
    if (!equals)
        return wn_error_set(err, WN_INVALID, "%s: \"%s\" is not \"key = value\"", where, text);
    *equals = '\0';
    char *key = trim(text), *value = trim(equals + 1);
    size_t len = strlen(value), i = 0;
    if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
        value[len - 1] = '\0';
        value++;
    }
    if (find_option(o->table, key, strlen(key), &i)) {
        wn_status status = assign(o, i, value, true, err);
        wn_error_prefix(err, where);
        return status;
    }
    if (foreign && find_option(foreign, key, strlen(key), &i))
        return WN_OK;
    wn_status status = unknown_option(o->table, key, err);
    wn_error_prefix(err, where);
    return status;
}

wn_status wn_options_file(wn_options *o, const char *path, const wn_option *foreign, wn_error *err)
{
    wn_strbuf text = {0};
    wn_status status = wn_fs_read(&text, path, 1 << 20, err);
    if (status == WN_OK && text.len != strlen(wn_strbuf_cstr(&text)))
        status = wn_error_set(err, WN_FORMAT, "%s: not a text file (it holds a zero byte)", path);
    char *line = status == WN_OK ? text.data : NULL;
    for (int number = 1; status == WN_OK && line && *line; number++) {
        char where[160];
        char *next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        snprintf(where, sizeof where, "%.*s:%d", (int)(sizeof where - 16), path, number);
        status = set_line(o, line, foreign, where, err);
        line = next;
    }
    wn_strbuf_free(&text);
    return status;
}

wn_status wn_options_env(wn_options *o, wn_error *err)
{
    for (size_t i = 0; i < o->n; i++) {
        char name[80];
        snprintf(name, sizeof name, "WINNOW_%s", o->table[i].name);
        for (char *c = name; *c; c++)
            *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        const char *value = getenv(name);
        if (!value || !*value)
            continue;
        wn_status status = assign(o, i, value, true, err);
        if (status != WN_OK) {
            wn_error_prefix(err, name);
            return status;
        }
    }
    return WN_OK;
}

/* One "--name[=value]"; *used = arguments consumed. */
static wn_status set_argument(wn_options *o, const char *argument, const char *following, int *used,
                              wn_error *err)
{
    const char *name = argument + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name), i = 0;
    *used = 1;
    if (find_option(o->table, name, len, &i)) {
        if (equals)
            return assign(o, i, equals + 1, true, err);
        if (o->table[i].type == WN_OPT_BOOL)
            return assign(o, i, "true", true, err);
        if (!following)
            return wn_error_set(err, WN_INVALID, "--%s needs a value (%s)", o->table[i].name,
                                o->table[i].arg ? o->table[i].arg : "VALUE");
        *used = 2;
        return assign(o, i, following, true, err);
    }
    if (len > 3 && memcmp(name, "no-", 3) == 0 && !equals &&
        find_option(o->table, name + 3, len - 3, &i) && o->table[i].type == WN_OPT_BOOL)
        return assign(o, i, "false", true, err);
    char shown[64];
    snprintf(shown, sizeof shown, "%.*s", (int)(len < 60 ? len : 60), name);
    return unknown_option(o->table, shown, err);
}

wn_status wn_options_args(wn_options *o, int argc, char **argv, int *n_positional, wn_error *err)
{
    int n = 0;
    bool only_positional = false;
    for (int i = 0; i < argc;) {
        if (!only_positional && strcmp(argv[i], "--") == 0) {
            only_positional = true;
            i++;
        } else if (only_positional || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[n++] = argv[i++];
        } else if (argv[i][1] != '-') {
            return wn_error_set(err, WN_INVALID, "unknown option \"%s\"; options are --name",
                                argv[i]);
        } else {
            int used = 0;
            WN_TRY(set_argument(o, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used, err));
            i += used;
        }
    }
    *n_positional = n;
    return WN_OK;
}

static const option_value *value_of(const wn_options *o, const char *name)
{
    size_t i = 0;
    bool found = find_option(o->table, name, strlen(name), &i);
    assert(found && "option name is not in the table");
    (void)found;
    return &o->values[i];
}

bool wn_options_is_set(const wn_options *o, const char *name)
{
    return value_of(o, name)->is_set;
}

bool wn_options_bool(const wn_options *o, const char *name)
{
    return value_of(o, name)->boolean;
}

int64_t wn_options_int(const wn_options *o, const char *name)
{
    return value_of(o, name)->integer;
}

double wn_options_num(const wn_options *o, const char *name)
{
    return value_of(o, name)->num;
}

const char *wn_options_str(const wn_options *o, const char *name)
{
    return value_of(o, name)->str;
}

/* Wraps text at `width` columns; following lines start at column `indent`. */
static void wrap_text(wn_strbuf *out, const char *text, size_t indent, size_t width)
{
    size_t column = indent;
    while (*text) {
        size_t len = strcspn(text, " ");
        size_t shown = wn_utf8_count(text, len);
        if (column > indent && column + 1 + shown > width) {
            wn_strbuf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            wn_strbuf_addc(out, ' ');
            column++;
        }
        wn_strbuf_add(out, text, len);
        column += shown;
        text += len;
        while (*text == ' ')
            text++;
    }
    wn_strbuf_addc(out, '\n');
}

void wn_options_help(const wn_option *table, wn_strbuf *out)
{
    enum { HELP_COLUMN = 28, WIDTH = 100 };
    for (size_t i = 0; table[i].name; i++) {
        const wn_option *o = &table[i];
        size_t start = out->len;
        wn_strbuf_printf(out, "  --%s", o->name);
        if (o->type != WN_OPT_BOOL)
            wn_strbuf_printf(out, " %s", o->arg ? o->arg : "VALUE");
        size_t used = out->len - start;
        if (used + 2 > HELP_COLUMN)
            wn_strbuf_printf(out, "\n%*s", HELP_COLUMN, "");
        else
            wn_strbuf_printf(out, "%*s", (int)(HELP_COLUMN - used), "");
        wn_strbuf text = {0};
        wn_strbuf_adds(&text, o->help);
        if (o->def && o->type != WN_OPT_BOOL && *o->def)
            wn_strbuf_printf(&text, " [%s]", o->def);
        wrap_text(out, wn_strbuf_cstr(&text), HELP_COLUMN, WIDTH);
        wn_strbuf_free(&text);
    }
}
