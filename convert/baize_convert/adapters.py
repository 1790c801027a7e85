"""``--adapter`` of every command: a PEFT folder, a GGUF LoRA, or an adapter on the hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from baize_convert import hub, hub_names
from baize_convert.adapter import Adapter, open_peft_adapter
from baize_convert.failures import ConvertError
from baize_convert.gguf_adapter import open_gguf_adapter
from baize_convert.gguf_file import GgufTensor
from baize_convert.model_config import ModelConfig
from baize_convert.tensor_names import modules
from baize_shared.named_numbers import parse_named_number


def open_adapter(given: Path | str, weight: float = 1.0, *, keep: bool = True) -> Adapter:
    """Open the adapter at a path, or on the hub; ``weight`` multiplies all it adds.

    Of one on the hub the weights are kept in its cache, or with ``keep`` False read when needed,
    which is enough for a plan.

    Raises:
        ConvertError: it is none, or one that cannot be merged; the message names the field or key.
    """
    if str(given).startswith(hub_names.PREFIX):
        name = hub_names.parse_name(str(given))
        repository = hub.open_repository(name)
        if keep:
            hub.keep_adapter(repository)
        found = open_peft_adapter(repository.folder, weight, repository)
        return replace(found, name=name.repo.partition("/")[2], commit=repository.commit)
    path = Path(given)
    if path.is_file():
        return open_gguf_adapter(path, weight)
    if path.is_dir():
        return open_peft_adapter(path, weight)
    raise ConvertError(f"{path}: no such folder and no such file")


def parse_adapters(given: Iterable[str], *, keep: bool = True) -> list[Adapter]:
    """Adapters written as ``PATH`` or ``PATH=WEIGHT``; see ``open_adapter`` for ``keep``.

    Raises:
        ConvertError: see ``open_adapter``; or a weight that is no number.
    """
    found = []
    for one in given:
        try:
            path, weight = parse_named_number(one)
        except ValueError as error:
            raise ConvertError(f"--adapter {one}: {error}") from None
        found.append(open_adapter(path, weight, keep=keep))
    return found


def fitted(adapter: Adapter, config: ModelConfig) -> Adapter:
    """``adapter`` for a model of ``config``: in a GGUF the rows of q and k have changed places.

    Raises:
        ConvertError: it is of another architecture.
    """
    if adapter.architecture not in (None, config.architecture):
        raise ConvertError(
            f"{adapter.path} is an adapter of the architecture {adapter.architecture.name}, and "
            f"the base is of {config.architecture.name}"
        )
    known = modules(config)
    changes = dict(adapter.changes)
    for module, change in adapter.changes.items():
        heads = known[module].permuted_heads if module in known else 0
        if heads and isinstance(change.b, GgufTensor) and change.b.rows % (2 * heads) == 0:
            changes[module] = replace(change, b=replace(change.b, permuted_heads=heads))
    return replace(adapter, changes=changes)
