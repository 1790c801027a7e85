"""Random conversations with everything that one can have, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from baize_shared.sanitizer import clean_line, clean_text
from baize_tui.output_forms import OutputForm
from baize_tui.store.records import Attachment, ConversationTree, Message
from baize_tui.store.tags import clean_tags

TEXTS = st.text(max_size=30).map(clean_text)
LINES = st.text(max_size=20).map(clean_line)
TIMES = st.floats(0, 253402300799.0)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBERS | TEXTS
PROVENANCES = st.none() | st.dictionaries(
    LINES, VALUES | st.dictionaries(LINES, VALUES, max_size=2)
)


FORMS = st.none() | st.builds(
    OutputForm, st.sampled_from(["json", "json_schema", "regex", "grammar"]), TEXTS, LINES
)


@st.composite
def attachments(draw: st.DrawFn, text: str) -> tuple[Attachment, ...]:
    """Parts of ``text``, one after the other."""
    ends = sorted(draw(st.sets(st.integers(0, len(text)), max_size=4)))
    return tuple(
        Attachment(draw(LINES), start, end, draw(st.integers(0, 9)), draw(LINES))
        for start, end in zip(ends[::2], ends[1::2], strict=False)
    )


@st.composite
def messages(draw: st.DrawFn, number: int, conversation_id: str) -> Message:
    text = draw(TEXTS)
    return Message(
        id=number,
        conversation_id=conversation_id,
        parent_id=draw(st.none() | st.integers(1, number - 1)) if number > 1 else None,
        role=draw(st.sampled_from(["user", "assistant"])),
        state=draw(st.sampled_from(["complete", "stopped", "interrupted", "failed"])),
        text=text,
        reasoning=draw(TEXTS),
        ids=draw(st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=3)),
        tokenizer=draw(st.none() | LINES),
        created_at=draw(TIMES),
        provenance=draw(PROVENANCES),
        mark=draw(st.sampled_from(["good", "bad", None])),
        pinned=draw(st.booleans()),
        summary=draw(TEXTS),
        name=draw(LINES),
        attachments=draw(attachments(text)),
        form=draw(FORMS),
    )


@st.composite
def trees(draw: st.DrawFn) -> ConversationTree:
    """A conversation as the store would read it."""
    id = draw(st.text("0123456789abcdef", min_size=12, max_size=12))
    count = draw(st.integers(0, 8))
    pointers = st.none() | st.integers(1, count) if count else st.none()
    return ConversationTree(
        id=id,
        title=draw(LINES),
        title_source=draw(st.sampled_from(["none", "question", "model", "person"])),
        created_at=draw(TIMES),
        updated_at=draw(TIMES),
        leaf_id=draw(pointers),
        context_start=draw(pointers),
        model=draw(st.none() | LINES),
        system=draw(TEXTS),
        moderation=draw(st.booleans()),
        format=draw(st.none() | LINES),
        sampling=draw(st.just({}) | st.fixed_dictionaries({"temperature": st.floats(0, 2)})),
        overflow=draw(st.sampled_from(["drop", "summarize", "shift", "stop", None])),
        adapters=draw(st.dictionaries(LINES, st.floats(0, 2), max_size=2)),
        model_path=draw(st.none() | LINES),
        model_sha256=draw(st.none() | LINES),
        think=draw(st.sampled_from([True, False, None])),
        tags=draw(st.lists(LINES, max_size=3).map(clean_tags)),
        pinned=draw(st.booleans()),
        archived=draw(st.booleans()),
        persona=draw(LINES),
        stop=tuple(draw(st.lists(TEXTS, max_size=2))),
        messages=[draw(messages(number, id)) for number in range(1, count + 1)],
    )
