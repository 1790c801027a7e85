"""Parts that arrive nearly in order give the hash of the whole."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from baize_convert.hub.streamed_hash import StreamedHash

WHOLE = bytes(range(256)) * 4


def fetch(start: int, size: int) -> bytes:
    return WHOLE[start : start + size]


@given(cuts=st.lists(st.integers(1, len(WHOLE) - 1), unique=True), order=st.randoms())
def test_parts_in_any_order_some_skipped_give_the_hash_of_the_whole(
    cuts: list[int], order: st.DataObject
) -> None:
    ends = [*sorted(cuts), len(WHOLE)]
    parts = list(zip([0, *ends], ends, strict=False))
    streamed = StreamedHash(fetch)
    for start, end in parts[1::5]:
        streamed.skip(start, end - start)
    fed = [part for place, part in enumerate(parts) if place % 5 != 1]
    order.shuffle(fed)  # type: ignore[attr-defined]
    for start, end in [*fed, *fed[:2]]:  # some are read twice
        streamed.feed(start, WHOLE[start:end])
    assert streamed.hexdigest(len(WHOLE)) == hashlib.sha256(WHOLE).hexdigest()


def test_a_missing_part_gives_no_hash() -> None:
    streamed = StreamedHash(fetch)
    streamed.feed(100, WHOLE[100:])
    assert streamed.hexdigest(len(WHOLE)) is None
    streamed.feed(0, WHOLE[:99])
    assert streamed.hexdigest(len(WHOLE)) is None
    streamed.feed(50, WHOLE[50:120])
    assert streamed.hexdigest(len(WHOLE)) == hashlib.sha256(WHOLE).hexdigest()
