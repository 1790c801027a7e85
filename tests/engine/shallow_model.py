"""The first layers of a model, for tests in which the sense of an answer plays no part."""

from __future__ import annotations

from pathlib import Path

from gguf import GGUFWriter

from baize_convert.sources.gguf_file import copy_key, read_gguf


def write_first_layers(source: Path, file: Path, layers: int = 4) -> Path:
    """The GGUF ``source`` without the layers after the first: its vocabulary and its shapes."""
    reader = read_gguf(source)
    writer = GGUFWriter(file, "")  # the architecture is among the keys
    for field in reader.fields.values():
        if field.name.endswith(".block_count"):
            writer.add_uint32(field.name, layers)
        elif not field.name.startswith("GGUF."):
            copy_key(writer, field)
    for tensor in reader.tensors:
        part, _, rest = tensor.name.partition(".")
        if part != "blk" or int(rest.partition(".")[0]) < layers:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
