#!/usr/bin/env python3
"""A GGUF file with every tensor in F32: the same weights, nothing rounded. Needs numpy and the package gguf.

    dequantize_gguf.py model-q4_k.gguf model-f32.gguf
"""
import sys

import gguf

source, target = sys.argv[1:]
reader = gguf.GGUFReader(source)
writer = gguf.GGUFWriter(target, reader.get_field("general.architecture").contents())
for key, field in reader.fields.items():
    kind = field.types[0]
    if key.startswith("GGUF.") or key == "general.architecture":
        continue
    if key == "general.file_type":
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        continue
    writer.add_key_value(key, field.contents(), kind, field.types[1] if kind == gguf.GGUFValueType.ARRAY else None)
for t in reader.tensors:
    shape = [int(n) for n in reversed(t.shape)]
    data = gguf.dequantize(t.data, t.tensor_type).astype("float32").reshape(shape)
    writer.add_tensor(t.name, data)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
