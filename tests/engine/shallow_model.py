"""The first layers of a model, for tests in which the sense of an answer plays no part."""

from __future__ import annotations

from pathlib import Path

from gguf import GGUFWriter

from baize_convert.sources.gguf_file import copy_key, read_gguf

LAYERS = 4


def write_first_layers(source: Path, file: Path) -> Path:
    """The first ``LAYERS`` layers of the GGUF ``source``, with its vocabulary."""
    reader = read_gguf(source)
    writer = GGUFWriter(file, "")  # the architecture is among the keys
    for field in reader.fields.values():
        if field.name.endswith(".block_count"):
            writer.add_uint32(field.name, LAYERS)
        elif not field.name.startswith("GGUF."):
            copy_key(writer, field)
    for tensor in reader.tensors:
        part, _, rest = tensor.name.partition(".")
        if part != "blk" or int(rest.partition(".")[0]) < LAYERS:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
