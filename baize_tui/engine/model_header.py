"""The header of a whole model, which may be in several files (``llama_model_loader``)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from baize_shared.split_files import model_files, parse_split_name
from baize_tui.engine.llama.errors import ModelFileError
from baize_tui.engine.llama.gguf_header import TensorInfo, read_header, read_tensors
from baize_tui.engine.model_kinds import why_no_chat
from baize_tui.engine.protocol import GgufHeader
from baize_tui.translation import msg, tr

NAME_IT = msg(
    "{path} is the first of {count} files of a model, but is not called so: name it {name}, and "
    "the others alike"
)
MISSING = msg("{file} is missing: it is file {number} of {count} of the model")
NOT_OF_ONE_MODEL = msg(
    "{path} and the other {others} files have {tensors} tensors instead of {expected}: they are "
    "not of one model"
)
LATER_PART = msg(
    "{path} is file {number} of {count} of a model: give {first}, and the others are found by "
    "their names"
)


def read_model_header(path: str) -> GgufHeader:
    """Read and check the headers of all files of the model at ``path``; no weight is read.

    What is not a chat model, or not all of one, has a ``problem``.

    Raises:
        ModelFileError: a file is not a GGUF, cut short, or has an impossible header.
    """
    header = read_header(path)
    if (count := _split_count(header)) > 1:
        return _read_parts(header, count)
    why = why_no_chat(header)
    return msgspec.structs.replace(header, problem=why) if why else header


def read_chat_model(path: str) -> GgufHeader:
    """The same.

    Raises:
        ModelFileError: it cannot chat; or see ``read_model_header``.
    """
    header = read_model_header(path)
    if header.problem:
        raise ModelFileError(header.problem)
    return header


def read_model_tensors(path: str) -> dict[str, TensorInfo]:
    """The tensors of the model at ``path``, which ``read_model_header`` has checked, by name."""
    files = model_files(Path(path)) if _split_count(read_header(path)) > 1 else [Path(path)]
    return {name: tensor for file in files for name, tensor in read_tensors(str(file)).items()}


def _split_count(header: GgufHeader) -> int:
    return int(header.metadata.get("split.count", "1"))


def _read_parts(first: GgufHeader, count: int) -> GgufHeader:
    """The header of a model of ``count`` files; ``first`` is that of the one that was given."""
    path = Path(first.path)
    number = int(first.metadata.get("split.no", "0")) + 1
    if number != 1:
        return msgspec.structs.replace(first, problem=_later_part(path, number, count))
    split = parse_split_name(path.name)
    if split is None or (split.number, split.count) != (1, count):
        name = f"{path.stem}-00001-of-{count:05}.gguf"
        return msgspec.structs.replace(
            first,
            problem=tr(NAME_IT, path=path, count=count, name=name),
        )
    parts, missing = [first], None
    for number, file in enumerate(model_files(path)[1:], 2):
        if file.is_file():
            parts.append(_read_part(file, number))
        else:
            missing = missing or tr(MISSING, file=file, number=number, count=count)
    header = msgspec.structs.replace(
        first,
        file_bytes=sum(part.file_bytes for part in parts),
        parameters=sum(part.parameters for part in parts),
        tensors=sum(part.tensors for part in parts),
    )
    if missing is not None:
        return msgspec.structs.replace(header, problem=missing)
    expected = int(first.metadata.get("split.tensors.count", "-1"))
    if header.tensors != expected:
        raise ModelFileError(
            tr(
                NOT_OF_ONE_MODEL,
                path=path,
                others=count - 1,
                tensors=header.tensors,
                expected=expected,
            )
        )
    why = why_no_chat(header)
    return msgspec.structs.replace(header, problem=why) if why else header


def _read_part(file: Path, number: int) -> GgufHeader:
    header = read_header(str(file))
    if header.metadata.get("split.no") != str(number - 1):
        raise ModelFileError(
            tr("{file} is not file {number} of a model, as its name says", file=file, number=number)
        )
    return header


def _later_part(path: Path, number: int, count: int) -> str:
    split = parse_split_name(path.name)
    first = split.with_number(1) if split is not None else tr("the first one")
    return tr(LATER_PART, path=path, number=number, count=count, first=first)
