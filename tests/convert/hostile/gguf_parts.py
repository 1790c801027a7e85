"""A GGUF file in parts that can be changed one by one: keys with their types, and tensors."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q"}
_SCALARS[12] = "d"
STRING, ARRAY = 8, 9
UINT32, FLOAT32 = 4, 6
I32 = 26
"""A type of tensor that no matrix product takes."""


@dataclass
class Key:
    """A key; the value is as it stands in the file."""

    name: bytes
    type: int
    value: bytes


@dataclass
class TensorEntry:
    """What the header says about a tensor."""

    name: bytes
    shape: list[int]
    type: int
    offset: int


@dataclass
class GgufParts:
    """The whole file; counts are as many as there are unless ``counts`` says otherwise."""

    keys: list[Key]
    tensors: list[TensorEntry]
    data: bytes
    version: int = 3
    counts: tuple[int, int] | None = None
    alignment: int = field(default=32)

    def key(self, name: str) -> Key | None:
        return next((key for key in self.keys if key.name == name.encode()), None)

    def set_key(self, name: str, type: int, value: bytes) -> None:
        """Replace or add a key."""
        if (key := self.key(name)) is not None:
            key.type, key.value = type, value
        else:
            self.keys.append(Key(name.encode(), type, value))

    def to_bytes(self) -> bytes:
        tensors, keys = self.counts or (len(self.tensors), len(self.keys))
        head = b"GGUF" + struct.pack("<IQQ", self.version, tensors & _U64, keys & _U64)
        head += b"".join(
            text_bytes(key.name) + struct.pack("<I", key.type & _U32) + key.value
            for key in self.keys
        )
        for tensor in self.tensors:
            shape = [size & _U64 for size in tensor.shape]
            head += text_bytes(tensor.name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
            head += struct.pack("<IQ", tensor.type & _U32, tensor.offset & _U64)
        return head + b"\0" * (-len(head) % self.alignment) + self.data


_U32, _U64 = 2**32 - 1, 2**64 - 1


def text_bytes(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def texts_bytes(texts: list[bytes]) -> bytes:
    """The value of an array of texts."""
    return struct.pack("<IQ", STRING, len(texts)) + b"".join(map(text_bytes, texts))


def read_parts(raw: bytes) -> GgufParts:
    """The parts of a valid file."""
    version, tensor_count, key_count = struct.unpack_from("<IQQ", raw, 4)
    at = 24
    keys, tensors = [], []
    for _ in range(key_count):
        name, at = _read_text(raw, at)
        (type,) = struct.unpack_from("<I", raw, at)
        end = _value_end(raw, at + 4, type)
        keys.append(Key(name, type, raw[at + 4 : end]))
        at = end
    for _ in range(tensor_count):
        name, at = _read_text(raw, at)
        (dimensions,) = struct.unpack_from("<I", raw, at)
        shape = list(struct.unpack_from(f"<{dimensions}Q", raw, at + 4))
        type, offset = struct.unpack_from("<IQ", raw, at + 4 + 8 * dimensions)
        tensors.append(TensorEntry(name, shape, type, offset))
        at += 16 + 8 * dimensions
    return GgufParts(keys, tensors, raw[at + -at % 32 :], version)


def read_texts(key: Key) -> list[bytes]:
    """The texts of a key whose value is an array of them."""
    (count,) = struct.unpack_from("<Q", key.value, 4)
    texts, at = [], 12
    for _ in range(count):
        text, at = _read_text(key.value, at)
        texts.append(text)
    return texts


def _read_text(raw: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<Q", raw, at)
    return raw[at + 8 : at + 8 + length], at + 8 + length


def _value_end(raw: bytes, at: int, type: int) -> int:
    if type == STRING:
        return _read_text(raw, at)[1]
    if type != ARRAY:
        return at + struct.calcsize(_SCALARS[type])
    item, count = struct.unpack_from("<IQ", raw, at)
    at += 12
    for _ in range(count):
        at = _value_end(raw, at, item)
    return at


# --- changes --------------------------------------------------------------------------------------

_INTEGERS = (0, 1, 2, 3, 5, 7, 31, 33, 127, 255, 65535, 2**20, 2**31 - 1, 2**31, 2**32 - 1)
_FLOATS = (0.0, -1e-5, -1.0, 1e30, 1e-45, float("nan"), float("inf"), float("-inf"))
_TEXTS = (
    b"",
    b"\xff\xfe",
    b"\x1b]0;1337\x07",
    b"\0x",
    b"../x",
    b"a" * 100_000,
    "\u202e泽".encode(),
)
_ARCHITECTURE_KEYS = (
    *("expert_count", "expert_used_count", "expert_feed_forward_length", "expert_group_count"),
    *("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon", "attention.head_count"),
    *("attention.head_count_kv", "attention.key_length", "attention.value_length", "block_count"),
    *("embedding_length", "feed_forward_length", "context_length", "vocab_size", "pooling_type"),
    *("rope.dimension_count", "rope.freq_base", "rope.scaling.type", "rope.scaling.factor"),
    *("attention.sliding_window", "attention.causal", "leading_dense_block_count", "logit_scale"),
    *("rope.scaling.original_context_length", "attention.clamp_kqv", "use_parallel_residual"),
)
_TOKENIZER_KEYS = (
    *("bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id", "eot_token_id"),
    *("add_bos_token", "add_eos_token", "add_space_prefix", "mask_token_id", "fim_pre_token_id"),
    *("model", "pre", "token_type_count", "precompiled_charsmap", "eos_token_ids", "merges"),
)
_OTHER_KEYS = (
    *("general.alignment", "general.architecture", "general.file_type", "general.type", ""),
    *("split.no", "split.count", "split.tensors.count", "general.quantization_version"),
    *("general.name", "tokenizer.chat_template", "tokenizer.chat_templates", "adapter.type"),
)


def mutate_gguf(rng: random.Random, raw: bytes) -> bytes:
    """Change keys, their types and values, the vocabulary, and what is said about tensors."""
    parts = read_parts(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice((_change_key, _change_key, _change_vocabulary, _change_tensor, _change_counts))(
            rng, parts
        )
    return parts.to_bytes()


def _change_key(rng: random.Random, parts: GgufParts) -> None:
    architecture = parts.key("general.architecture")
    prefix = architecture.value[8:].decode("utf-8", "replace") if architecture else "llama"
    name = rng.choice(
        (
            f"{prefix}.{rng.choice(_ARCHITECTURE_KEYS)}",
            f"tokenizer.ggml.{rng.choice(_TOKENIZER_KEYS)}",
            rng.choice(_OTHER_KEYS),
            rng.choice(parts.keys).name.decode("utf-8", "replace") if parts.keys else "a",
        )
    )
    match rng.randrange(8):
        case 0:
            parts.keys = [key for key in parts.keys if key.name != name.encode()]
        case 1:
            parts.keys.extend(key for key in parts.keys[:] if key.name == name.encode())
        case _:
            type = _likely_type(rng, parts, name)
            parts.set_key(name, type, random_value(rng, type))


def _likely_type(rng: random.Random, parts: GgufParts, name: str) -> int:
    """Mostly the type that it has, so that the value is read."""
    key = parts.key(name)
    if key is not None and rng.random() < 0.7:
        return key.type
    if "epsilon" in name or "scale" in name or "freq" in name:
        return FLOAT32
    return rng.choice((UINT32, UINT32, FLOAT32, STRING, ARRAY, 5, 7, 0, 2, 10, 12, 13, 77, 2**31))


def random_value(rng: random.Random, type: int) -> bytes:
    """A value of a key of ``type`` that few models have."""
    if type == STRING:
        return text_bytes(rng.choice(_TEXTS))
    if type == ARRAY:
        item = rng.choice((*_SCALARS, STRING, ARRAY, 99))
        count = rng.choice((0, 1, 3, 1000))
        claimed = rng.choice((count, count, 2**31, 2**63, 2**64 - 1))
        values = b"".join(random_value(rng, item) for _ in range(min(count, 20)))
        return struct.pack("<IQ", item, claimed) + values
    format = _SCALARS.get(type, "Q")
    if format in "fd":
        return struct.pack(f"<{format}", rng.choice(_FLOATS))
    number = rng.choice(_INTEGERS) & (2 ** (8 * struct.calcsize(format)) - 1)
    return struct.pack(f"<{format.upper()}", number)


def _change_vocabulary(rng: random.Random, parts: GgufParts) -> None:
    key = parts.key("tokenizer.ggml.tokens")
    if key is None or key.type != ARRAY:
        return
    texts = read_texts(key) if struct.unpack_from("<I", key.value)[0] == STRING else []
    if len(texts) < 4:
        return
    at, other = rng.randrange(len(texts)), rng.randrange(len(texts))
    match rng.randrange(6):
        case 0:
            texts[at] = texts[other]
        case 1:
            texts[at] = rng.choice(_TEXTS)
        case 2:
            del texts[at:]
        case 3:
            texts.extend(texts[:other])
        case 4:
            texts = [b""] * len(texts)
        case 5:
            for name in ("scores", "token_type", "merges"):
                parts.keys = [k for k in parts.keys if k.name != f"tokenizer.ggml.{name}".encode()]
    key.value = texts_bytes(texts)


def _change_tensor(rng: random.Random, parts: GgufParts) -> None:
    if not parts.tensors:
        return
    tensor = rng.choice(parts.tensors)
    other = rng.choice(parts.tensors)
    match rng.randrange(9):
        case 0:
            tensor.type = rng.choice((0, 1, 2, 8, 16, 24, 25, I32, 27, 28, 30, 39, 99, 2**31))
        case 1:
            tensor.type = I32
        case 2:
            tensor.shape = list(reversed(tensor.shape))
        case 3:
            at = rng.randrange(len(tensor.shape) or 1)
            tensor.shape[at : at + 1] = [rng.choice((0, 1, 3, 2**31, 2**40, 2**63 - 1, 2**64 - 1))]
        case 4:
            tensor.shape += [rng.choice((0, 1, 2))] * rng.choice((1, 2, 3, 9))
        case 5:
            tensor.offset = rng.choice((0, 1, 33, other.offset, 2**32, 2**63, 2**64 - 32))
        case 6:
            tensor.name = rng.choice((other.name, *_TEXTS, b"a" * 64))
        case 7:
            parts.tensors.remove(tensor)
        case 8:
            tensor.shape = other.shape[:]


def _change_counts(rng: random.Random, parts: GgufParts) -> None:
    tensors, keys = len(parts.tensors), len(parts.keys)
    match rng.randrange(5):
        case 0:
            parts.counts = (rng.choice((0, tensors - 1, tensors + 1, 2**31, 2**63)), keys)
        case 1:
            parts.counts = (tensors, rng.choice((0, keys - 1, keys + 1, 2**31, 2**63)))
        case 2:
            parts.version = rng.choice((0, 1, 2, 4, 2**24 * 3, 2**32 - 1))
        case 3:
            alignment = rng.choice((1, 2, 4, 8, 16, 64, 4096))
            parts.set_key("general.alignment", UINT32, struct.pack("<I", alignment))
            parts.alignment = alignment
        case 4:
            parts.data = parts.data[: rng.randrange(len(parts.data) + 1)]
