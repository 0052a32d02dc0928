/* Shared by safetensors.c (open, folder, look-ups) and safetensors_header.c (one file's header). */
#ifndef WN_BASE_SAFETENSORS_INTERNAL_H
#define WN_BASE_SAFETENSORS_INTERNAL_H

#include <jansson.h>

#include "base/file_map.h"
#include "base/safetensors.h"

typedef struct safetensors_shard {
    char *path;
    wn_file_map map;
    json_t *header; /* owns the tensors' names and the metadata */
    size_t data_start;
    size_t n_tensors;
} safetensors_shard;

/* Maps shard->path, parses and checks the header's outline and counts the tensors. */
wn_status wn_safetensors_shard_open(safetensors_shard *shard, wn_error *err);
/* Fills items[0, shard->n_tensors), every field validated, data inside the file, no overlap, no
 * hole. */
wn_status wn_safetensors_shard_tensors(const safetensors_shard *shard, wn_tensor *items,
                                       wn_error *err);
void wn_safetensors_shard_close(safetensors_shard *shard);

#endif
