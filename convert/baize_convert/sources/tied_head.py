"""Embedding and head of a checkpoint, which share one tensor if the model is tied.

The rules are those of ``tie_weights`` of transformers' modeling_utils.py, version 5. Where it would
initialize a missing head randomly, the checkpoint is refused.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.sources.tensors import StoredTensor, Tensor

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def tie_head(where: Path, tensors: dict[str, Tensor], *, tied: bool) -> list[str]:
    """Leave out a head that is the embedding, in ``tensors``; notes, a line each.

    Raises:
        ConvertError: the model is not tied, and has no head.
    """
    embedding, head = tensors.get(EMBEDDING), tensors.get(HEAD)
    if embedding is None and head is None:
        return []
    if not tied:
        if head is None:
            raise ConvertError(
                f"{where}: {HEAD} is missing, though the config does not tie it to the embedding "
                "(transformers would initialize it randomly): if the model is tied, set "
                '"tie_word_embeddings": true in config.json; if not, save it with its head'
            )
        return []
    if head is None:
        return []
    if embedding is None:
        tensors[EMBEDDING] = replace(tensors.pop(HEAD), name=EMBEDDING)
        return [f"{where}: {EMBEDDING} is missing; {HEAD} counts, as the config ties both"]
    if _is_shared(embedding, head):
        del tensors[HEAD]
        return []
    if embedding.equals(head):
        del tensors[HEAD]
        if isinstance(head, StoredTensor):
            head.skip()
        return []
    return [
        f"{where}: {HEAD} differs from the embedding, though the config ties them: both are "
        "written, as transformers loads them"
    ]


def _is_shared(embedding: Tensor, head: Tensor) -> bool:
    """Whether both are the same bytes of the same file, as in PyTorch's format."""
    return (
        isinstance(embedding, StoredTensor)
        and isinstance(head, StoredTensor)
        and embedding.position == head.position
        and (embedding.dtype, embedding.shape, embedding.strides)
        == (head.dtype, head.shape, head.strides)
    )
