"""Searching 100,000 messages: the time of each kind of query, and what the index costs::

    python benchmarks/search.py

The file is made as an older version would have left it, without an index. The words are drawn by
Zipf's law from 40,000, so that some are in nearly every message; one conversation in eight is in
Chinese, of 3,000 characters. The system has the file in its memory, so the time of the processor is
what a query takes on a machine that does nothing else.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_tui.store.conversations import Store
from baize_tui.store.migrations import STEPS
from baize_tui.store.records import AnswerContent
from baize_tui.store.search_query import parse_query

MESSAGES, PER_CONVERSATION = 100_000, 20
QUESTION_WORDS, ANSWER_WORDS = 25, 150
LIMIT = 50
REPEATS = 9
SLOWEST_S, SLOWEST_OPENING_S, SLOWEST_SAVE = 0.050, 0.050, 1.25
ANSWERS, JOURNALED = 300, 20
MODELS = ("smollm2-135m", "llama-3.2-3b", "baize-healthcare-7b")
YEAR_S = 365 * 86400
FIRST_S = 1704067200.0
"""2024-01-01; the messages are of two years."""
QUERIES = (
    "the",
    "of the",
    "rareword",
    "rarew",
    "th",
    "so",
    "sor",
    "a",
    '"of the"',
    '"rareword in"',
    "rareword the in and",
    "的",
    "白泽",
    "的一",
    "一的是在",
    "nothingatall",
    "the model:baize",
    "rareword model:llama",
    "the is:good",
    "is:good",
    "model:smollm2",
    "the after:2025-12",
    "rareword before:2024-03",
    "the before:2024-02",
    "the domain:healthcare",
    "the in:thought",
    "the in:question",
    "talk in:title",
    "after:2025-11",
)


class Words:
    """Draws texts."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        letters = "etaoinshrdlucmwfgypbvk"
        names = {"rareword": None}
        while len(names) < 40_000:
            names["".join(self._random.choices(letters, k=self._random.randint(3, 11)))] = None
        common = ["the", "of", "and", "in", "to", "a", "is", "sort", "sorting", "so"]
        self._latin = [*common, *(name for name in names if name != "rareword")]
        self._chinese = [*"的一是在不了有和人这", *map(chr, range(0x4E00, 0x4E00 + 2990))]
        self._weights = {
            id(texts): [*accumulate(1 / rank for rank in range(1, len(texts) + 1))]
            for texts in (self._latin, self._chinese)
        }

    def text(self, count: int, chinese: bool) -> str:
        """About ``count`` words, one in 400,000 of which is rare."""
        source = self._chinese if chinese else self._latin
        drawn = self._random.choices(source, cum_weights=self._weights[id(source)], k=count)
        if self._random.random() < count / 400_000:
            drawn[count // 2] = "白泽" if chinese else "rareword"
        return ("" if chinese else " ").join(drawn)


def make_file(file: Path) -> int:
    """A file of the version before the index; returns the bytes of its texts."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    search = next(number for number, step in enumerate(STEPS) if "search_pending" in step)
    for step in STEPS[:search]:
        connection.executescript(step)
    connection.execute(f"PRAGMA user_version = {search}")
    words, size = Words(), 0
    connection.execute("BEGIN")
    for number in range(MESSAGES):
        conversation, place = divmod(number, PER_CONVERSATION)
        when = FIRST_S + 2 * YEAR_S * number / MESSAGES
        model = MODELS[conversation % len(MODELS)]
        chinese = conversation % 8 == 7
        if place == 0:
            connection.execute(
                "INSERT INTO conversation (id, title, created_at, updated_at, model, system, "
                "moderation) VALUES (?, ?, ?, ?, ?, '', 1)",
                (f"{conversation:012x}", f"talk {words.text(5, chinese)}", when, when, model),
            )
        is_answer = place % 2
        text = words.text(ANSWER_WORDS if is_answer else QUESTION_WORDS, chinese)
        thought = words.text(ANSWER_WORDS // 2, chinese) if is_answer and number % 10 == 1 else ""
        size += len(text.encode()) + len(thought.encode())
        made = {"model": model, "model_path": "/models/" + model, "sampling": {"top_k": 40}}
        connection.execute(
            "INSERT INTO message (conversation_id, parent_id, role, state, text, reasoning, ids, "
            "created_at, provenance, mark) VALUES (?, ?, ?, 'complete', ?, ?, ?, ?, ?, ?)",
            (
                f"{conversation:012x}",
                number if place else None,  # ids count from 1
                "assistant" if is_answer else "user",
                text,
                thought,
                bytes(4 * ANSWER_WORDS) if is_answer else None,
                when,
                msgspec.json.encode(made).decode() if is_answer else None,
                1 if is_answer and number % 100 == 1 else None,
            ),
        )
    connection.execute("COMMIT")
    connection.close()
    return size


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Store]:
    store = Store(file)
    yield store
    store.close()


def seconds_to_open(file: Path) -> float:
    began = time.perf_counter()
    with opened(file) as store:
        store.conversations()
        return time.perf_counter() - began


def file_bytes(file: Path) -> int:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.stat().st_size


def build_index(file: Path) -> None:
    began, slowest = time.perf_counter(), 0.0
    computed = time.process_time()
    with opened(file) as store:
        left = 1
        while left:
            call = time.perf_counter()
            left = store.search_index.update()
            slowest = max(slowest, time.perf_counter() - call)
    print(
        f"indexing in the background: {time.perf_counter() - began:.1f} s, "
        f"{time.process_time() - computed:.1f} s of the processor; the longest that other calls of "
        f"the store wait: {slowest * 1000:.0f} ms"
    )


def search(file: Path) -> bool:
    print(
        f"\nquery: first {LIMIT} results, first time; median of {REPEATS} after that; its processor"
    )
    slowest = 0.0
    healthcare = {"baize-healthcare-7b"}
    for text in QUERIES:
        with opened(file) as store:
            query = parse_query(text)
            times, computing = [], []
            for _ in range(REPEATS + 1):
                began, computed = time.perf_counter(), time.process_time()
                found = store.searcher.search(query, LIMIT, healthcare)
                times.append(time.perf_counter() - began)
                computing.append(time.process_time() - computed)
        first, median = times[0], statistics.median(times[1:])
        processor = statistics.median(computing[1:])
        slowest = max(slowest, processor)
        columns = " ".join(f"{each * 1000:6.1f} ms" for each in (first, median, processor))
        print(f"  {text:<24} {columns}  {len(found.results)}{'+' if found.is_cut else ''} found")
    limit = SLOWEST_S * 1000
    print(f"slowest, in time of the processor: {slowest * 1000:.0f} ms (at most {limit:.0f})")
    return slowest <= SLOWEST_S


def seconds_to_save(file: Path) -> float:
    """The time of a question and an answer that is journaled as it grows: the median."""
    times = []
    with opened(file) as store:
        conversation = store.new_conversation(system="", moderation=True)
        parent = None
        for number in range(ANSWERS):
            text = f"word{number} " * ANSWER_WORDS
            began = time.perf_counter()
            question = store.add_message(conversation.id, parent, "user", text[:100])
            answer = store.add_message(
                conversation.id, question.id, "assistant", "", state="streaming"
            )
            for part in range(JOURNALED):
                grown = text[: len(text) * part // JOURNALED]
                store.answers.journal(AnswerContent(answer.id, grown, "", [1] * part, None))
            store.answers.finish(AnswerContent(answer.id, text, "", [1], None), "complete", None)
            times.append(time.perf_counter() - began)
            parent = answer.id
    return statistics.median(times)


def saving(file: Path) -> bool:
    with_index = seconds_to_save(file)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        for what in ("added", "changed", "removed"):
            connection.execute(f"DROP TRIGGER search_message_{what}")
    without = seconds_to_save(file)
    print(
        f"\nsaving an answer with {JOURNALED} journal writes: {with_index * 1000:.2f} ms, "
        f"{with_index / without:.2f} of the time without the index (at most {SLOWEST_SAVE})"
    )
    return with_index / without <= SLOWEST_SAVE


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "conversations.db")
        text_bytes = make_file(file)
        before = file_bytes(file)
        sizes = f"{text_bytes / 1e6:.0f} MB of text in a file of {before / 1e6:.0f} MB"
        print(f"{MESSAGES:,} messages: {sizes}")
        migrating, later = seconds_to_open(file), seconds_to_open(file)
        print(f"opening it first: {migrating * 1000:.0f} ms; later: {later * 1000:.0f} ms")
        build_index(file)
        after = file_bytes(file)
        print(f"size of the index, over the texts: {(after - before) / text_bytes:.2f}")
        good = search(file)
        good &= saving(file)
        good &= migrating - later <= SLOWEST_OPENING_S
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
