#include "retrieve/metadata_filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"

enum { MAX_DEPTH = 8, MAX_NODES = 64, MAX_VALUES = 1000 };

typedef enum filter_op {
    OP_EQ,
    OP_NE,
    OP_GT,
    OP_GTE,
    OP_LT,
    OP_LTE,
    OP_IN,
    OP_NIN,
    OP_AND,
    OP_OR,
    N_OPS
} filter_op;

static const char *const op_names[N_OPS] = {"eq",  "ne", "gt",  "gte", "lt",
                                            "lte", "in", "nin", "and", "or"};

/* A node; `and` and `or` are followed by their n_children subtrees. */
typedef struct filter_node {
    filter_op op;
    const char *key;     /* owned by the copy of the JSON */
    const json_t *value; /* likewise: string, number, boolean, or an array of them */
    size_t n_children;
} filter_node;

struct wn_metadata_filter {
    json_t *json; /* deep copy */
    filter_node nodes[MAX_NODES];
    size_t n_nodes;
};

/* Parsing -------------------------------------------------------------------------------------- */

static bool is_scalar(const json_t *value)
{
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

static wn_status check_value(filter_op op, const char *key, const json_t *value, wn_error *err)
{
    if (op == OP_IN || op == OP_NIN) {
        if (!json_is_array(value) || json_array_size(value) == 0 ||
            json_array_size(value) > MAX_VALUES)
            return wn_error_set(err, WN_INVALID,
                                "filters: %s: value must be an array of 1 to %d strings or numbers",
                                key, MAX_VALUES);
        for (size_t i = 0; i < json_array_size(value); i++)
            if (!is_scalar(json_array_get(value, i)))
                return wn_error_set(
                    err, WN_INVALID,
                    "filters: %s: value[%zu] must be a string, a number or a boolean", key, i);
        return WN_OK;
    }
    if (!is_scalar(value))
        return wn_error_set(err, WN_INVALID,
                            "filters: %s: value must be a string, a number or a boolean", key);
    if (json_is_boolean(value) && op != OP_EQ && op != OP_NE)
        return wn_error_set(err, WN_INVALID, "filters: %s: %s does not compare booleans", key,
                            op_names[op]);
    return WN_OK;
}

static wn_status parse_op(const json_t *json, filter_op *out, wn_error *err)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    for (int i = 0; type && i < N_OPS; i++)
        if (strcmp(type, op_names[i]) == 0) {
            *out = (filter_op)i;
            return WN_OK;
        }
    return wn_error_set(err, WN_INVALID,
                        "filters: type must be eq, ne, gt, gte, lt, lte, in, nin, and or or%s%.40s",
                        type ? ", not " : "", type ? type : "");
}

static wn_status parse_node(wn_metadata_filter *f, const json_t *json, int depth, wn_error *err)
{
    if (!json_is_object(json))
        return wn_error_set(err, WN_INVALID, "filters: a filter must be an object");
    if (depth > MAX_DEPTH || f->n_nodes == MAX_NODES)
        return wn_error_set(err, WN_INVALID, "filters: more than %d levels or %d conditions",
                            MAX_DEPTH, MAX_NODES);
    filter_node *node = &f->nodes[f->n_nodes++];
    WN_TRY(parse_op(json, &node->op, err));
    if (node->op != OP_AND && node->op != OP_OR) {
        node->key = json_string_value(json_object_get(json, "key"));
        node->value = json_object_get(json, "value");
        if (!node->key || !*node->key)
            return wn_error_set(err, WN_INVALID, "filters: key must be a string that is not empty");
        return check_value(node->op, node->key, node->value, err);
    }
    const json_t *children = json_object_get(json, "filters");
    node->n_children = json_array_size(children); /* 0 for what is no array */
    if (node->n_children == 0)
        return wn_error_set(err, WN_INVALID, "filters: %s needs an array \"filters\", not empty",
                            op_names[node->op]);
    for (size_t i = 0; i < node->n_children; i++)
        WN_TRY(parse_node(f, json_array_get(children, i), depth + 1, err));
    return WN_OK;
}

wn_status wn_metadata_filter_parse(wn_metadata_filter **out, const json_t *json, wn_error *err)
{
    *out = NULL;
    wn_metadata_filter *f = wn_alloc(1, sizeof *f);
    if (f && json)
        f->json = json_deep_copy(json);
    if (!f || (json && !f->json)) {
        free(f);
        return wn_error_set(err, WN_NO_MEMORY, "filters: out of memory");
    }
    wn_status status = parse_node(f, f->json, 1, err);
    if (status != WN_OK) {
        wn_metadata_filter_free(f);
        return status;
    }
    *out = f;
    return WN_OK;
}

void wn_metadata_filter_free(wn_metadata_filter *f)
{
    if (!f)
        return;
    json_decref(f->json);
    free(f);
}

/* Matching ------------------------------------------------------------------------------------- */

/* *order = -1, 0, 1; false when the two cannot be compared. */
static bool compare(const json_t *a, const json_t *b, int *order)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a), y = json_integer_value(b);
        *order = (x > y) - (x < y);
        return true;
    }
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        *order = (x > y) - (x < y);
        return true;
    }
    if (json_is_string(a) && json_is_string(b)) { /* by bytes, which is by code points */
        int c = strcmp(json_string_value(a), json_string_value(b));
        *order = (c > 0) - (c < 0);
        return true;
    }
    if (json_is_boolean(a) && json_is_boolean(b)) {
        *order = (int)json_is_true(a) - (int)json_is_true(b);
        return true;
    }
    return false;
}

static bool equals(const json_t *a, const json_t *b)
{
    int order = 0;
    return compare(a, b, &order) && order == 0;
}

static bool is_among(const json_t *a, const json_t *values)
{
    for (size_t i = 0; i < json_array_size(values); i++)
        if (equals(a, json_array_get(values, i)))
            return true;
    return false;
}

static bool match_leaf(const filter_node *node, const json_t *attributes)
{
    const json_t *a = json_object_get(attributes, node->key);
    int order = 0;
    if (node->op == OP_EQ)
        return equals(a, node->value);
    if (node->op == OP_NE)
        return !equals(a, node->value);
    if (node->op == OP_IN)
        return is_among(a, node->value);
    if (node->op == OP_NIN)
        return !is_among(a, node->value);
    if (!compare(a, node->value, &order))
        return false;
    switch (node->op) {
    case OP_GT:
        return order > 0;
    case OP_GTE:
        return order >= 0;
    case OP_LT:
        return order < 0;
    default:
        return order <= 0;
    }
}

/* Evaluates the subtree at *at and moves *at behind it. */
static bool match_node(const wn_metadata_filter *f, size_t *at, const json_t *attributes)
{
    const filter_node *node = &f->nodes[(*at)++];
    if (node->op != OP_AND && node->op != OP_OR)
        return match_leaf(node, attributes);
    bool all = true, any = false;
    for (size_t i = 0; i < node->n_children; i++) {
        bool hit = match_node(f, at, attributes);
        all = all && hit;
        any = any || hit;
    }
    return node->op == OP_AND ? all : any;
}

bool wn_metadata_filter_match(const wn_metadata_filter *f, const char *attributes)
{
    json_t *object = NULL;
    size_t at = 0;
    if (wn_json_parse(&object, attributes, strlen(attributes), "attributes", NULL) != WN_OK)
        object = json_object(); /* attributes that cannot be read are none */
    bool hit = match_node(f, &at, object);
    json_decref(object);
    return hit;
}
