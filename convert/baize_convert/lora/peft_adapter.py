"""Folders of adapters that PEFT saved; every key in them is used or reported."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from baize_convert.failures import ConvertError, first_few
from baize_convert.lora.adapter import (
    EMBEDDING,
    HEAD,
    Adapter,
    ModuleChange,
    TensorPart,
    check_complete,
    refuse_untrained,
)
from baize_convert.lora.block_diagonal import expand_blocks
from baize_convert.lora.other_formats import (
    describe_files,
    describe_key,
    describe_trained_beside,
)
from baize_convert.lora.peft_config import AdapterConfig, read_adapter_config
from baize_convert.lora.peft_keys import PeftKey, parse_key
from baize_convert.lora.scaling import has_several_alphas, module_scale
from baize_convert.lora.target_modules import names_module
from baize_convert.sources.byte_source import ByteSource, MappedFile
from baize_convert.sources.remote_files import RemoteFiles
from baize_convert.sources.safetensors_file import parse_safetensors
from baize_convert.sources.small_files import check_small_files
from baize_convert.sources.tensors import ITEM_BYTES, Tensor
from baize_convert.sources.titles import name_from_path
from baize_convert.sources.torch_file import parse_torch_file

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
"""The files that PEFT writes; the first one counts if both exist, as in PEFT."""
_CORRECT_NAMES = "correct its target_modules, exclude_modules or layers_to_transform"
_LFS_POINTER = b"version https://git-lfs"


def open_peft_adapter(
    folder: Path, weight: float = 1.0, remote: RemoteFiles | None = None
) -> Adapter:
    """Open the adapter in a folder; ``remote`` has the weights that are not in it.

    Raises:
        ConvertError: it is not an adapter, changes nothing, cannot be merged, or has an unknown
            key; the message names the field or the key.
    """
    check_small_files(folder)
    if not (folder / "adapter_config.json").is_file() and (format := _other_format(folder)):
        raise ConvertError(f"{folder}: {format}")
    config = read_adapter_config(folder)
    source, parse = _find_weights(folder, remote)
    file = source.path
    tensors = parse(source)
    if not tensors:
        raise ConvertError(
            f"{file} has no weights: the adapter was saved empty; save it again "
            "with PEFT's save_pretrained()"
        )
    keys = _parse_keys(file, tensors)
    ignored = _ignored_modules(config, keys.values(), folder)
    changes: dict[str, ModuleChange] = {}
    names: dict[str, str] = {}
    for key, parsed in keys.items():
        if parsed.kind != "ignored" and not (parsed.is_low_rank and parsed.peft_name in ignored):
            change = changes.setdefault(parsed.module, ModuleChange())
            names.setdefault(parsed.module, parsed.peft_name)
            _assign(change, parsed, tensors[key], config, source)
    for module, change in changes.items():
        _set_tokens(names[module], change, config, folder)
        if config.use_bdlora is not None:
            expand_blocks(change, names[module], config.use_bdlora)
        check_complete(module, change, folder)
        _check_switches(module, change, config, folder)
        if change.rank:
            try:
                change.scale = module_scale(
                    names[module],
                    change.rank,
                    config,
                    may_share=module == HEAD and config.ensure_weight_tying,
                )
            except ConvertError as error:
                raise ConvertError(f"{folder}: {error}") from error
    if config.trainable_token_indices and not _have_token_rows(changes):
        raise ConvertError(
            f"{file} has no trained tokens, though trainable_token_indices in adapter_config.json "
            "names some, and PEFT cannot load it either: save the adapter again"
        )
    refuse_untrained(file, changes)
    sources = (MappedFile(folder / "adapter_config.json"), source)
    return Adapter(
        folder,
        config,
        changes,
        weight,
        sources,
        name_from_path(folder),
        notes=(
            *_notes(folder, config, names.values()),
            *_notes_on_ignored(folder, ignored),
            *_notes_on_zeros(folder, changes),
            *(f"{folder}: {note}" for note in describe_trained_beside(_list_files(folder, remote))),
        ),
    )


def _have_token_rows(changes: Mapping[str, ModuleChange]) -> bool:
    return any(change.token_rows is not None for change in changes.values())


def _ignored_modules(
    config: AdapterConfig, keys: Iterable[PeftKey], folder: Path
) -> frozenset[str]:
    """Modules, by the name that PEFT gives them, whose A and B the config makes PEFT ignore.

    Raises:
        ConvertError: these are all modules, which PEFT refuses.
    """
    modules = {key.peft_name: key.module for key in keys if key.is_low_rank}
    ignored = frozenset(
        name
        for name, module in modules.items()
        if not names_module(config, name) and not names_module(config, module)
    )
    if modules and len(ignored) == len(modules):
        raise ConvertError(
            f"{folder}: adapter_config.json names none of the modules in the weights "
            f"({first_few(sorted(ignored))}): {_CORRECT_NAMES}"
        )
    return ignored


def _notes_on_ignored(folder: Path, ignored: Collection[str]) -> Iterator[str]:
    if ignored:
        yield (
            f"{folder}: adapter_config.json leaves out {first_few(sorted(ignored))}, so that their "
            f"weights are not merged, as in PEFT; if they should be, {_CORRECT_NAMES}"
        )


def _notes(folder: Path, config: AdapterConfig, names: Iterable[str]) -> Iterator[str]:
    if ambiguous := [name for name in names if has_several_alphas(name, config)]:
        yield (
            f"{folder}: several keys of alpha_pattern match {first_few(ambiguous)}; as in PEFT the "
            "first counts, but PEFT sorts them when it saves, so another may have in the training"
        )


def _notes_on_zeros(folder: Path, changes: Mapping[str, ModuleChange]) -> Iterator[str]:
    """B begins as zeros, and training changes every row of it."""
    with_b = {module: change.b for module, change in changes.items() if change.b is not None}
    partly = []
    for module, b in with_b.items():
        trained = b.read().any(axis=1)
        if trained.any() and not trained.all():
            partly.append(module)
    if partly:
        yield (
            f"{folder}: some rows of lora_B are all zero in {len(partly)} of {len(with_b)} "
            f"modules ({first_few(partly)}): if it was trained with FSDP or DeepSpeed, one process "
            "may have saved its part alone; then save it again with the parameters gathered"
        )


def _other_format(folder: Path) -> str | None:
    """What adapter the folder has, if it is known and not PEFT's."""
    if (folder / "config.json").is_file():
        return "a model, not an adapter: give it as BASE"
    return describe_files(file.name for file in folder.iterdir())


def _list_files(folder: Path, remote: RemoteFiles | None) -> frozenset[str]:
    local = frozenset(file.name for file in folder.iterdir())
    return local if remote is None else local | remote.files


def _find_weights(
    folder: Path, remote: RemoteFiles | None
) -> tuple[ByteSource, Callable[[ByteSource], Mapping[str, Tensor]]]:
    """The file with the weights, and the parser for it."""
    parsers: tuple[Callable[[ByteSource], Mapping[str, Tensor]], ...] = (
        parse_safetensors,
        parse_torch_file,
    )
    for name, parse in zip(WEIGHTS, parsers, strict=True):
        file = folder / name
        if file.is_file():
            _refuse_pointer(file)
            return MappedFile(file), parse
        if remote is not None and remote.has(name):
            return remote.open(name), parse
    format = describe_files(file.name for file in folder.iterdir())
    if format is not None:
        raise ConvertError(f"{folder}: {format}")
    raise ConvertError(
        f"{folder} has no {' and no '.join(WEIGHTS)}: save the adapter with PEFT's "
        "save_pretrained()"
    )


def _refuse_pointer(file: Path) -> None:
    """Refuse what git leaves in place of a large file that was not fetched."""
    with file.open("rb") as opened:
        if opened.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise ConvertError(f"{file} is a pointer of Git LFS: run 'git lfs pull' in its folder")


def _parse_keys(file: Path, tensors: Mapping[str, Tensor]) -> dict[str, PeftKey]:
    """All keys, parsed.

    Raises:
        ConvertError: a key is of an unknown kind or type, or the keys are of several adapters.
    """
    found = {key: parse_key(key) for key in tensors}
    adapters = {
        parsed.adapter
        for parsed in found.values()
        if parsed is not None and parsed.adapter and parsed.kind != "saved"
    }
    if len(adapters) > 1:
        raise ConvertError(
            f"{file} has several adapters ({', '.join(sorted(adapters))}): save each alone with "
            "PEFT's save_pretrained(selected_adapters=[...])"
        )
    keys: dict[str, PeftKey] = {}
    for key, tensor in tensors.items():
        parsed = found[key]
        if parsed is None or (parsed.kind == "plain" and (format := describe_key(key))):
            format = describe_key(key)
            raise ConvertError(
                f"{file}: the key {key} is of an unknown kind; to go on without it, as PEFT does, "
                "remove it from the file"
                if format is None
                else f"{file}: the key {key} is that of {format}"
            )
        if tensor.dtype not in ITEM_BYTES and parsed.kind != "ignored":
            raise ConvertError(
                f"{file}: {key} has the type {tensor.dtype}, which no adapter has: save it in 16 "
                "or 32 bits"
            )
        keys[key] = parsed
    return keys


def _assign(
    change: ModuleChange, key: PeftKey, tensor: Tensor, config: AdapterConfig, file: ByteSource
) -> None:
    """Put a tensor where it belongs in the change of its module."""
    before: Tensor | None
    match key.kind:
        case "saved" | "original" | "base" | "plain":
            place = change.replaced if _is_trained(key, config) else change.base_copies
            part: TensorPart = "bias" if key.part == "bias" else "weight"
            before, place[part] = place.get(part), tensor
        case "lora_A" | "lora_embedding_A":
            before, change.a = change.a, tensor
            change.is_embedding = key.kind == "lora_embedding_A"
        case "lora_B" | "lora_embedding_B":
            before, change.b = change.b, tensor
        case "lora_magnitude_vector":
            before, change.magnitude = change.magnitude, tensor
        case "lora_bias":
            before, change.bias = change.bias, tensor
        case "token_rows":
            before, change.token_rows = change.token_rows, tensor
        case "ignored":
            return
    # PEFT saves a trained embedding under two names. A plan does not download both to compare.
    if before is not None and file.is_local and not before.equals(tensor):
        raise ConvertError(f"{file.path}: two keys of {key.module} ({key.kind}) have other numbers")


def _is_trained(key: PeftKey, config: AdapterConfig) -> bool:
    """Whether the tensor was trained; if not, it is one of the base."""
    if key.kind in ("saved", "original"):
        return key.kind == "saved"
    if key.part == "bias" and config.bias != "none":
        return True
    # PEFT saves embedding and head as they were after a change of the vocabulary, too.
    is_copy = key.module in (EMBEDDING, HEAD) and not config.saves(key.peft_name)
    return key.kind == "plain" and not is_copy


def _set_tokens(module: str, change: ModuleChange, config: AdapterConfig, folder: Path) -> None:
    if change.token_rows is None:
        return
    change.token_ids = config.token_ids(module)
    if len(change.token_ids) != change.token_rows.rows:
        raise ConvertError(
            f"{folder}: {module} has {change.token_rows.rows} trained tokens, but "
            f"trainable_token_indices names {len(change.token_ids)}"
        )


def _check_switches(module: str, change: ModuleChange, config: AdapterConfig, folder: Path) -> None:
    """Check that a module has the tensors that the config switches on, and no others."""
    switches: tuple[tuple[str, bool, str, Tensor | None], ...] = (
        ("use_dora", config.use_dora, "lora_magnitude_vector", change.magnitude),
        ("lora_bias", config.lora_bias, "lora_B.bias", change.bias),
    )
    for field, is_on, name, tensor in switches:
        if change.is_embedding and field == "lora_bias":
            continue
        if change.a is not None and is_on != (tensor is not None):
            raise ConvertError(
                f"{folder}: {module} has {'no' if is_on else 'a'} {name}, but {field} is "
                f"{'true' if is_on else 'false'} in adapter_config.json"
            )
