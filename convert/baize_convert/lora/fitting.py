"""An adapter in the row order of the base it is merged into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from baize_convert.failures import ConvertError, first_few
from baize_convert.lora.adapter import Adapter
from baize_convert.lora.target_modules import lists_module
from baize_convert.sources.gguf_file import GgufTensor
from baize_convert.sources.model_config import ModelConfig
from baize_convert.sources.tensor_names import is_vision, module_names


def fit_adapter(adapter: Adapter, config: ModelConfig) -> Adapter:
    """``adapter`` for a model with ``config``, without changes of a vision part.

    GGUF adapters get Hugging Face's order of q and k.

    Raises:
        ConvertError: the adapter is for another architecture, or for the vision part alone.
    """
    if adapter.architecture not in (None, config.architecture):
        raise ConvertError(
            f"{adapter.path} is an adapter for the architecture {adapter.architecture.name}, but "
            f"the base is {config.architecture.name}"
        )
    names = module_names(config)
    changes = dict(adapter.changes)
    if config.is_multimodal:  # the vision part is left out of the output
        changes = {module: change for module, change in changes.items() if not is_vision(module)}
        if not changes:
            raise ConvertError(f"{adapter.path} changes only the vision part, which is left out")
    for module, change in list(changes.items()):
        heads = names[module].permuted_heads if module in names else 0
        if heads and isinstance(change.b, GgufTensor) and change.b.rows % (2 * heads) == 0:
            changes[module] = replace(change, b=replace(change.b, permuted_heads=heads))
    return replace(adapter, changes=changes)


def describe_missing(adapter: Adapter, config: ModelConfig) -> Iterator[str]:
    """Which modules of a model with ``config`` the adapter should change, but has no weights of."""
    missing = [
        name
        for name, module in module_names(config).items()
        if len(module.shape) > 1
        and name not in adapter.changes
        and lists_module(adapter.config, name)
    ]
    if missing:
        yield (
            f"{adapter.path} has no weights of {len(missing)} modules that its config names "
            f"({first_few(missing)}): they stay as they are, as in PEFT; if they were trained, the "
            "file has only a part of the adapter: save it again"
        )
