#include "generate/tokenizer_added.h"

#include <stdlib.h>

#include "base/checked.h"

static wn_status new_node(wn_added *a, uint8_t byte, uint32_t *out, wn_error *err)
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 256;
        wn_added_node *nodes = cap > UINT32_MAX ? NULL : wn_realloc(a->nodes, cap, sizeof *nodes);
        if (!nodes)
            return wn_error_set(err, WN_NO_MEMORY, "added tokens: out of memory");
        a->nodes = nodes;
        a->cap = cap;
    }
    *out = (uint32_t)a->n++;
    a->nodes[*out] = (wn_added_node){.id = -1, .byte = byte};
    return WN_OK;
}

static uint32_t find_child(const wn_added *a, uint32_t node, uint8_t byte)
{
    uint32_t child = a->nodes[node].child;
    while (child && a->nodes[child].byte != byte)
        child = a->nodes[child].sibling;
    return child;
}

wn_status wn_added_add(wn_added *a, const char *text, size_t len, int32_t id, wn_error *err)
{
    uint32_t node = 0;
    if (len == 0)
        return wn_error_set(err, WN_FORMAT, "added token %d is empty", id);
    if (a->n == 0)
        WN_TRY(new_node(a, 0, &node, err));
    for (size_t i = 0; i < len; i++) {
        uint32_t child = find_child(a, node, (uint8_t)text[i]);
        if (!child) {
            WN_TRY(new_node(a, (uint8_t)text[i], &child, err));
            a->nodes[child].sibling = a->nodes[node].child;
            a->nodes[node].child = child;
        }
        node = child;
    }
    a->nodes[node].id = id;
    a->first[(uint8_t)text[0]] = true;
    return WN_OK;
}

void wn_added_free(wn_added *a)
{
    free(a->nodes);
    *a = (wn_added){0};
}

bool wn_added_find(const wn_added *a, const char *text, size_t len, size_t pos, wn_added_match *m)
{
    if (a->n == 0)
        return false;
    for (; pos < len; pos++) {
        if (!a->first[(uint8_t)text[pos]])
            continue;
        m->id = -1;
        uint32_t node = 0;
        for (size_t i = pos; i < len; i++) {
            node = find_child(a, node, (uint8_t)text[i]);
            if (!node)
                break;
            if (a->nodes[node].id >= 0)
                *m = (wn_added_match){pos, i + 1, a->nodes[node].id};
        }
        if (m->id >= 0)
            return true;
    }
    return false;
}
