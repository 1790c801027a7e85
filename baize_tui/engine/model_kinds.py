"""What a GGUF file is, by its header. Only a decoder with its vocabulary and weights can chat."""

from __future__ import annotations

from baize_tui.engine.protocol import GgufHeader
from baize_tui.translation import msg, tr

_EMBEDDING = msg(
    "{path} is an embedding model ({architecture}), which makes vectors of texts: choose a chat "
    "model"
)
_SEQUENCE = msg(
    "{path} is an encoder ({architecture}), not a model that continues a text: choose a chat model"
)
_DRAFT = msg(
    "{path} is a draft model ({architecture}) that only speeds up another one: choose the model "
    "that it is for"
)
_SPEECH = msg("{path} is a model for speech ({architecture}): choose a chat model")
_DIFFUSION = msg(
    "{path} is a diffusion model ({architecture}), which does not write from left to right: choose "
    "another chat model"
)
_PROJECTOR = msg(
    "{path} is the image or audio part of a model (mmproj): choose the file of the language model, "
    "which chats without it"
)
_BY_ARCHITECTURE = {
    "clip": _PROJECTOR,
    "controlvector": msg(
        "{path} is a control vector, which this program cannot use: choose a model"
    ),
    "bert": _EMBEDDING,
    "eurobert": _EMBEDDING,
    "gemma-embedding": _EMBEDDING,
    "jina-bert-v2": _EMBEDDING,
    "jina-bert-v3": _EMBEDDING,
    "llama-embed": _EMBEDDING,
    "modern-bert": _EMBEDDING,
    "neo-bert": _EMBEDDING,
    "nomic-bert": _EMBEDDING,
    "nomic-bert-moe": _EMBEDDING,
    "t5": _SEQUENCE,
    "t5encoder": _SEQUENCE,
    "dflash": _DRAFT,
    "eagle3": _DRAFT,
    "gemma4-assistant": _DRAFT,
    "pockettts": _SPEECH,
    "qwen3tts": _SPEECH,
    "wavtokenizer-dec": _SPEECH,
    "dream": _DIFFUSION,
    "llada": _DIFFUSION,
    "llada-moe": _DIFFUSION,
    "rnd1": _DIFFUSION,
}
"""Architectures of llama.cpp that cannot chat (src/llama-arch.cpp). It loads most of them, and
aborts when an encoder is to continue a text."""
_BY_TYPE = {
    "adapter": msg("{path} is an adapter, not a model: import it, and apply it over its model"),
    "imatrix": msg(
        "{path} is an importance matrix, not a model: it is for 'baize-convert merge --imatrix'"
    ),
    "mmproj": _PROJECTOR,
}
"""By ``general.type``."""
_NO_ARCHITECTURE = msg(
    "{path} names no architecture (general.architecture): it is not a model for llama.cpp"
)
_RERANKING = msg(
    "{path} is a reranking model ({architecture}), which compares texts: choose a chat model"
)
_NO_WEIGHTS = msg("{path} has a vocabulary and no weights: choose the file of the whole model")
_RANK = "4"
"""``LLAMA_POOLING_TYPE_RANK``: the model compares texts."""


def why_no_chat(header: GgufHeader) -> str:
    """What the file is, and what to do, if it cannot chat: one line; else empty.

    Whether llama.cpp knows the architecture shows only when it loads the file.
    """
    architecture = header.architecture
    pooling = header.metadata.get(f"{architecture}.pooling_type", "0")
    causal = header.metadata.get(f"{architecture}.attention.causal", "True")
    kind = _BY_TYPE.get(header.metadata.get("general.type", "")) or _BY_ARCHITECTURE.get(
        architecture
    )
    if kind is None and not architecture:
        kind = _NO_ARCHITECTURE
    elif kind is None and pooling == _RANK:
        kind = _RERANKING
    elif kind is None and (pooling != "0" or causal == "False"):
        kind = _EMBEDDING
    elif kind is None and header.tensors == 0 and header.tokenizer:
        kind = _NO_WEIGHTS
    return "" if kind is None else tr(kind, path=header.path, architecture=architecture)
