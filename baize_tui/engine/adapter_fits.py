"""Whether a GGUF LoRA is one of a model: llama.cpp says it in its log alone, or aborts."""

from __future__ import annotations

from baize_tui.engine.bindings import ModelFileError, TensorInfo, read_header, read_tensors

_EMBEDDING = "token_embd.weight"


def check_adapter(path: str, base: str) -> None:
    """Whether each pair of matrices in ``path`` fits the tensor of that name in ``base``.

    The rules of ``llama_adapter_lora_init_impl`` (src/llama-adapter.cpp).

    Raises:
        ModelFileError: it is no adapter, or one of another model; the tensor and its shapes are
            named.
    """
    header, model = read_header(path), read_header(base)
    if header.metadata.get("general.type") != "adapter":
        raise ModelFileError(f"{path} is a model, not an adapter: choose it as the model")
    if (kind := header.metadata.get("adapter.type", "")) != "lora":
        raise ModelFileError(f"{path} is an adapter of the kind {kind!r}: only LoRA can be used")
    if header.architecture != model.architecture:
        raise ModelFileError(
            f"{path} is an adapter for the architecture {header.architecture}, and this model is "
            f"of {model.architecture}"
        )
    parts, tensors = read_tensors(path), read_tensors(base)
    for name, a in parts.items():
        target, dot, part = name.rpartition(".lora_")
        b = parts.get(f"{target}.lora_b")
        if not dot or part not in ("a", "b") or b is None or f"{target}.lora_a" not in parts:
            raise ModelFileError(f"{path}: {name} is no half of a pair lora_a, lora_b")
        if part == "a":
            _check_pair(path, target, a, b, tensors)


def _check_pair(
    path: str, target: str, a: TensorInfo, b: TensorInfo, tensors: dict[str, TensorInfo]
) -> None:
    weight = tensors.get(target)
    if weight is None:
        raise ModelFileError(f"{path}: the model has no {target}: it is an adapter of another one")
    # Of an embedding the two are the other way round, so that rows can be looked up in A.
    is_embedding = target == _EMBEDDING
    if is_embedding and "output.weight" not in tensors:
        raise ModelFileError(
            f"{path} changes {target}, which this model's head shares: merge it with "
            "baize-convert merge"
        )
    wanted = (weight.shape[1], weight.shape[0]) if is_embedding else weight.shape[:2]
    if is_embedding:
        found = (a.shape[1], b.shape[1])
        rank = a.shape[0] == b.shape[0]
    else:
        found = (a.shape[0], b.shape[1])
        rank = a.shape[1] == b.shape[0]
    if found != wanted or not rank:
        raise ModelFileError(
            f"{path}: {target} is {wanted[0]} x {wanted[1]} in this model, and the adapter's "
            f"{found[0]} x {found[1]}: it is an adapter of another one"
        )
