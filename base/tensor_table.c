#include "base/tensor_table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"

wn_status wn_tensor_table_init(wn_tensor_table *t, size_t n, const char *path, wn_error *err)
{
    *t = (wn_tensor_table){.items = wn_alloc(n, sizeof *t->items), .n = n};
    if (!t->items)
        return wn_error_set(err, WN_NO_MEMORY, "%s: no memory for %zu tensors", path, n);
    return WN_OK;
}

void wn_tensor_table_free(wn_tensor_table *t)
{
    free(t->items);
    *t = (wn_tensor_table){0};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const wn_tensor *)a)->name, ((const wn_tensor *)b)->name);
}

wn_status wn_tensor_table_index(wn_tensor_table *t, const char *path, wn_error *err)
{
    if (t->n)
        qsort(t->items, t->n, sizeof *t->items, compare_names);
    for (size_t i = 1; i < t->n; i++)
        if (strcmp(t->items[i - 1].name, t->items[i].name) == 0)
            return wn_error_set(err, WN_FORMAT, "%s: two tensors are named %s", path,
                                t->items[i].name);
    return WN_OK;
}

static int compare_places(const void *a, const void *b)
{
    const wn_tensor *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    if (p != q)
        return p < q ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* empty ones first */
}

wn_status wn_tensor_table_check_layout(wn_tensor *items, size_t n, const void *data, size_t size,
                                       bool dense, const char *path, wn_error *err)
{
    if (n)
        qsort(items, n, sizeof *items, compare_places);
    uintptr_t end = (uintptr_t)data; /* of the tensor before */
    for (size_t i = 0; i < n; i++) {
        uintptr_t start = (uintptr_t)items[i].data;
        if (start < end)
            return wn_error_set(err, WN_FORMAT, "%s: the data of tensors %s and %s overlap", path,
                                i ? items[i - 1].name : "?", items[i].name);
        if (dense && start != end)
            return wn_error_set(err, WN_FORMAT, "%s: %zu bytes before tensor %s belong to nothing",
                                path, (size_t)(start - end), items[i].name);
        end = start + items[i].bytes;
    }
    if (dense && end != (uintptr_t)data + size)
        return wn_error_set(err, WN_FORMAT, "%s: %zu bytes after the last tensor", path,
                            (size_t)((uintptr_t)data + size - end));
    return WN_OK;
}

const wn_tensor *wn_tensor_table_find(const wn_tensor_table *t, const char *name)
{
    wn_tensor key = {.name = name};
    return t->n ? bsearch(&key, t->items, t->n, sizeof *t->items, compare_names) : NULL;
}

bool wn_tensor_name_valid(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F)
            return false;
    return len > 0 && wn_utf8_valid(name, len);
}
