"""Which layers attend to the last ``sliding_window`` tokens alone, as transformers decides it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from baize_convert.sources.model_config import ModelConfig

SLIDING, FULL = "sliding_attention", "full_attention"
"""The names in ``layer_types``."""


def has_rope(config: ModelConfig, layer: int) -> bool:
    """Whether a layer of SmolLM3 rotates queries and keys."""
    if config.no_rope_layers is not None:
        return layer < len(config.no_rope_layers) and bool(config.no_rope_layers[layer])
    interval = config.no_rope_layer_interval
    return interval == 0 or (layer + 1) % interval != 0


def _in_late_layers(config: ModelConfig, layer: int) -> bool:
    return config.use_sliding_window and layer >= config.max_window_layers


_HAS_WINDOW: Mapping[str, Callable[[ModelConfig, int], bool]] = {
    "mistral": lambda config, layer: True,
    "phi3": lambda config, layer: True,
    "qwen2": _in_late_layers,
    "qwen3": _in_late_layers,
    "smollm3": lambda config, layer: config.use_sliding_window and not has_rope(config, layer),
    "gemma2": lambda config, layer: (layer + 1) % 2 != 0,
    "gemma3_text": lambda config, layer: (layer + 1) % (config.sliding_window_pattern or 6) != 0,
}
"""By model_type, for configs without ``layer_types``; other models have no windows."""


def _windows_by_default(config: ModelConfig) -> list[bool]:
    """For each layer, whether it has a window in a model whose config has no ``layer_types``."""
    has_window = _HAS_WINDOW.get(config.model_class.model_types[0])
    layers = range(config.num_hidden_layers)
    return [has_window is not None and has_window(config, layer) for layer in layers]


def windowed_layers(config: ModelConfig) -> list[bool]:
    """For each layer, whether it attends to the last ``sliding_window`` tokens alone."""
    if "use_sliding_window" in config.model_class.reads and not config.use_sliding_window:
        return [False] * config.num_hidden_layers
    if config.layer_types is not None:
        return [kind == SLIDING for kind in config.layer_types]
    return _windows_by_default(config)
