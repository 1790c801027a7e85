"""Valid inputs, changed a little: bytes, JSON, texts, pickles. A seed gives the same input."""

from __future__ import annotations

import json
import pickletools
import random
import struct
from typing import Any

_NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_DEEP = "@deep@"
_HUGE = "@huge@"
_VALUES: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 2**31, 2**32, 2**63, 2**64, 10**30, -(2**63)),
    *(0.5, -0.0, 1e300, -1e300, 1e39, 1e-320, float("nan"), float("inf"), float("-inf")),
    *(True, False, None, "", "\ud800", "\udfff x", "\0", "a" * 5000, "../x", "/etc/passwd"),
    *("\x1b]0;x\x07", "泽\n泽", [], {}, [[]], [None], {"a": {}}, ["a", 1], _DEEP, _HUGE),
)


def mutate_bytes(rng: random.Random, raw: bytes) -> bytes:
    """Flip, cut, repeat, move and overwrite a few places."""
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(changed) + 1)
        length = rng.choice((1, 2, 4, 8, rng.randrange(1, 64)))
        other = rng.randrange(len(changed) + 1)
        match rng.randrange(9):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at : at + 1] = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))])
            case 2:
                del changed[at:]
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = changed[other : other + length]
            case 5:
                changed[at : at + length] = changed[other : other + length]
            case 6:
                format = rng.choice(("<I", "<Q"))
                number = rng.choice(_NUMBERS) & (2 ** (8 * struct.calcsize(format)) - 1)
                changed[at : at + struct.calcsize(format)] = struct.pack(format, number)
            case 7:
                changed[at:at] = rng.randbytes(length)
            case 8:
                changed[at:at] = changed[other : other + length] * rng.randrange(2, 200)
    return bytes(changed)


def mutate_json(rng: random.Random, raw: bytes) -> bytes:
    """Replace, remove, rename and repeat values anywhere in a document; sometimes its bytes."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):  # it was changed before
        return mutate_bytes(rng, raw)
    if rng.random() < 0.15:
        return mutate_bytes(rng, raw)
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _mutated(rng, value)
    text = json.dumps(value)
    if rng.random() < 0.05:  # a key that occurs twice
        text = text.replace('{"', '{"architectures": 1, "', 1)
    deep = "[" * 100_000 + "]" * 100_000
    return text.replace(f'"{_DEEP}"', deep).replace(f'"{_HUGE}"', "1" + "0" * 5000).encode()


def _mutated(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        match rng.randrange(8):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {
                    **value,
                    rng.choice(("", "\ud800", "a" * 300, "../x", "_" + key)): value[key],
                }
            case _:
                return {**value, key: _mutated(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value + value[at:]
            case _:
                return [*value[:at], _mutated(rng, value[at]), *value[at + 1 :]]
    return rng.choice(_VALUES)


_OPCODES = (
    *(b"]", b"}", b")", b"(", b"N", b"\x85", b"\x86", b"\x87", b"t", b"l", b"d", b"a", b"e", b"s"),
    *(b"u", b"R", b"b", b"Q", b"0", b"1", b"2", b"\x94", b"h\x00", b"q\x00", b"\x8f", b"\x93"),
    *(b"\x8a\xff" + b"\x7f" * 255, b"X\xff\xff\xff\x7f", b"r\xff\xff\xff\xff", b"I9999999999\n"),
    *(
        b"K\x01",
        b"L" + b"9" * 3000 + b"L\n",
        b"V\\ud800\n",
        b"S'x'\n",
        b"cos\nsystem\n",
        b"F1e999\n",
    ),
    *(
        b"ccollections\nOrderedDict\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"\x95" + b"\xff" * 8,
    ),
)


def mutate_pickle(rng: random.Random, raw: bytes) -> bytes:
    """Remove, repeat, move and insert whole opcodes; sometimes bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(rng, raw)
    starts = [at for _, _, at in pickletools.genops(raw) if at is not None]
    parts = [raw[a:b] for a, b in zip(starts, [*starts[1:], len(raw)], strict=True)]
    for _ in range(rng.choice((1, 2, 4, 8))):
        at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
        match rng.randrange(5):
            case 0 if len(parts) > 1:
                del parts[at]
            case 1:
                parts[at:at] = parts[other : other + rng.randrange(1, 9)]
            case 2:
                parts[at:at] = [rng.choice(_OPCODES)] * rng.choice((1, 1, 3, 5000))
            case 3:
                parts[at] = rng.choice(_OPCODES)
            case 4:
                parts[at], parts[other] = parts[other], parts[at]
    return b"".join(parts)


_PIECES = (
    *(b"\x1b]0;x\x07", b"\x1b]52;c;eA==\x07", b"\x1b[2J\x1b[1337;1337H", b"\x1bc", b"\x1b[?1337h"),
    *(b"\x1bP+q1337\x1b\\", "\x9b1337m\x90x\x9c".encode(), b"\r", b"\x00", b"\x08" * 9, b"\x7f"),
    *("\u202e1337\u2066".encode(), "\u2028\u2029\x85".encode(), "\U000e0031\U000e007f".encode()),
    *(b"\xff\xfe", b"\xed\xa0\xbd", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80", b"\xef\xbb\xbf", b"\xe2"),
    *("泽\u0301\u200d🐉\ufe0f".encode(), "\u0300".encode() * 3000, b"[" * 100_000, b"{" * 20_000),
    *(b"../" * 40 + b"x", b"/etc/passwd", b"~root", b"$(touch x)`touch x`", b"%s%n%999999d"),
    *(b"'\"\\", b"\n" * 2000, b"\t" * 500, b"9" * 6000, b"1e999", b"-0", b"nan", b"null", b"{{"),
    *(b"---\n", b"&a [*a, *a]", b"!!python/object/apply:os.system [x]", b"<script>", b"]]>", b"=="),
)


def mutate_text(rng: random.Random, raw: bytes) -> bytes:
    """Put in what attacks terminals, parsers and paths; seldom a line of a megabyte."""
    if rng.random() < 0.3:
        return mutate_bytes(rng, raw)
    changed = raw
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(changed) + 1)
        piece = rng.choice(_PIECES)
        if rng.random() < 0.04:
            piece = (piece + b" word") * (1_000_000 // (len(piece) + 5) + 1)
        changed = changed[:at] + piece + changed[at + rng.choice((0, 0, 1, len(piece))) :]
    return changed
