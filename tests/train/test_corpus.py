"""Corpora in every format: read, check, convert, mix, split. Nothing in them is run."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_train.cli.app import run
from baize_train.corpus.baize_transcripts import parse_transcript
from baize_train.corpus.dialogues import Dialogue, Turn, dialogue_id
from baize_train.corpus.duplicates import SeenTexts
from baize_train.corpus.mixing import mix, split
from baize_train.corpus.personal_data import mask_text
from baize_train.corpus.quality import Limits, Problem, find_problems
from baize_train.corpus.reading import InvalidRecord, read_corpus
from baize_train.corpus.statistics import count_words, measure_corpus
from baize_train.corpus.writing import CorpusFormat, write_corpus
from baize_train.errors import TrainError

TALK = [
    Turn("user", "Which trees lose their leaves in winter?"),
    Turn("assistant", "Oaks, maples and birches do; pines keep their needles."),
    Turn("user", "And why do they?"),
    Turn("assistant", "To save water while the ground is frozen."),
]


def turn_pairs(dialogue: Dialogue | InvalidRecord) -> list[tuple[str, str]]:
    assert isinstance(dialogue, Dialogue), dialogue
    return [(turn.role, turn.content) for turn in dialogue.messages]


def as_pairs(turns: list[Turn]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in turns]


def write_lines(file: Path, *records: Any) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return file


# --- reading --------------------------------------------------------------------------------------

FORMATS: dict[str, Any] = {
    "messages": {"messages": [{"role": t.role, "content": t.content} for t in TALK]},
    "sharegpt": {
        "conversations": [
            {"from": "human" if t.role == "user" else "gpt", "value": t.content} for t in TALK
        ]
    },
    "baize": {
        "topic": "trees",
        "input": "The conversation between human and AI assistant.\n"
        + "".join(f"{'[|Human|]' if t.role == 'user' else '[|AI|]'} {t.content}\n" for t in TALK)
        + "[|Human|] ",
    },
}


@pytest.mark.parametrize("layout", ["lines", "list"])
@pytest.mark.parametrize("format", FORMATS)
def test_each_format_is_recognized_and_read(format: str, layout: str, tmp_path: Path) -> None:
    file = tmp_path / "corpus.json"
    record = FORMATS[format]
    text = json.dumps([record, record]) if layout == "list" else f"{json.dumps(record)}\n" * 2
    file.write_text(text)
    result = list(read_corpus(file))
    assert [turn_pairs(item) for item in result] == [as_pairs(TALK)] * 2


def test_the_input_of_an_instruction_follows_it(tmp_path: Path) -> None:
    record = {"instruction": "Sum it up.", "input": "A long text.", "output": "Short."}
    (result,) = read_corpus(write_lines(tmp_path / "a.jsonl", record))
    assert turn_pairs(result) == [("user", "Sum it up.\n\nA long text."), ("assistant", "Short.")]


@pytest.mark.parametrize("format", ["messages", "sharegpt", "baize"])
def test_a_written_corpus_reads_back(format: CorpusFormat, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    assert write_corpus(iter([Dialogue(TALK, dialogue_id(TALK), topic="trees")]), file, format) == 1
    (result,) = read_corpus(file)
    assert turn_pairs(result) == as_pairs(TALK)
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not JSON"),
        ("3", "not an object"),
        ('{"text": "x"}', "none of the keys"),
        ('{"messages": 3}', "not a list"),
        ('{"messages": [{"role": "user"}]}', "turn 1 has no content"),
        ('{"messages": [{"role": "narrator", "content": "x"}]}', "narrator"),
        ('{"messages": [{"role": "user", "content": 3}]}', "not text"),
    ],
)
def test_an_invalid_line_is_reported_and_the_rest_is_read(
    line: str, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.jsonl"
    good = json.dumps(FORMATS["messages"])
    file.write_text(f"{good}\n{line}\n{good}\n")
    first, wrong, last = read_corpus(file)
    assert turn_pairs(first) == turn_pairs(last) == as_pairs(TALK)
    assert isinstance(wrong, InvalidRecord)
    assert wrong.place == "a.jsonl:2"
    assert why in wrong.problem


def test_invalid_utf_8_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(json.dumps(FORMATS["messages"]).encode() + b'\n{"messages": "\xff"}\n')
    _, wrong = read_corpus(file)
    assert isinstance(wrong, InvalidRecord)
    assert wrong.problem == "not UTF-8 (byte 0xff)"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        *(
            ("\ufeff \n".encode(coding), "is empty")
            for coding in ("utf-8", "utf-16-le", "utf-16-be")
        ),
        (b"hello", "neither JSON Lines nor"),
        (b"# A page\n\nof text, and\n- a list\n", "neither JSON Lines nor"),
        (b"[1", "list"),
    ],
)
def test_a_file_that_is_not_a_corpus_is_an_error(content: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(content)
    with pytest.raises(TrainError, match=why):
        list(read_corpus(file))


# --- the original's files -------------------------------------------------------------------------


def test_every_exchange_of_a_transcript_is_kept() -> None:
    """The original drops the last exchange, and with it a dialogue that has only one."""
    v2 = "[Human] One?\n[AI] Yes.\n[Human] Two?\n[AI] Too.\n[Human] Three?\n[AI] All."
    assert len(v2.split("[Human]")[1:-1]) == 2
    assert [turn.content for turn in parse_transcript(v2)] == [
        "One?",
        "Yes.",
        "Two?",
        "Too.",
        "Three?",
        "All.",
    ]
    assert as_pairs(parse_transcript("[Human] One?\n[AI] Yes.")) == [
        ("user", "One?"),
        ("assistant", "Yes."),
    ]
    # An unanswered goodbye is no exchange.
    assert len(parse_transcript(f"{v2}\n[Human] Thanks, bye!")) == 6


def test_a_completion_starts_with_the_answer_to_its_topic() -> None:
    greeted = "[Human] Hello!\n[AI] Hi! How can I help you?\n[Human] Why?\n[AI] Because."
    assert as_pairs(parse_transcript(greeted)) == [("user", "Why?"), ("assistant", "Because.")]
    assert as_pairs(parse_transcript("[AI] Because.", "Why?")) == [
        ("user", "Why?"),
        ("assistant", "Because."),
    ]


def test_pickles_of_the_original_collector_are_read(tmp_path: Path) -> None:
    file = tmp_path / "quora_chat_1_10.pkl"
    transcript = "[Human] Why?\n[AI] Because."
    kinds = {"a": transcript, "b": {"chat": transcript, "tokens": 12}, "c": {"tokens": 3}}
    file.write_bytes(pickle.dumps(kinds))
    first, second, wrong = read_corpus(file)
    assert turn_pairs(first) == turn_pairs(second) == [("user", "Why?"), ("assistant", "Because.")]
    assert isinstance(first, Dialogue)
    assert (first.topic, first.source) == ("a", "quora_chat_1_10.pkl")
    assert isinstance(wrong, InvalidRecord)


class _Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    file = tmp_path / "evil.pkl"
    trace = tmp_path / "ran"
    file.write_bytes(pickle.dumps({"a": _Evil(trace)}))
    with pytest.raises(TrainError, match=r"it wants to run .*system"):
        list(read_corpus(file))
    assert not trace.exists()


@given(raw=st.binary(max_size=200))
def test_any_bytes_are_read_as_a_pickle_or_give_one_error(
    raw: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("p") / "x.pkl"
    file.write_bytes(raw + b".")
    with contextlib.suppress(TrainError):  # and nothing else
        list(read_corpus(file))


# --- checks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ([], "no turns"),
        ([TALK[0], TALK[2]], "only the user speaks"),
        (TALK[1:], "starts with an answer"),
        (TALK[:3], "ends with a question"),
        ([TALK[0], TALK[1], TALK[3]], "the same speaker twice in a row"),
        ([TALK[0], Turn("assistant", " ")], "an empty turn"),
        ([TALK[0], Turn("assistant", "x" * 40_000)], "a turn of more than"),
        ([TALK[0], Turn("assistant", "Yes. [Human] And?")], "prompt leak"),
        ([Turn("user", "As an AI I cannot."), TALK[1]], "the asker speaks as an assistant"),
        (
            [*TALK[:2], Turn("user", TALK[1].content), TALK[3]],
            "the asker repeats the answer",
        ),
        ([TALK[0], Turn("assistant", "Could you tell me why?")], "the assistant asks"),
        ([TALK[0], Turn("assistant", "it goes on and on. " * 20)], "repetition"),
        (TALK * 4, "the same turns again"),
    ],
)
def test_problems_of_a_dialogue_are_described(turns: list[Turn], why: str) -> None:
    assert any(why in problem.description for problem in find_problems(Dialogue(turns)))


def test_a_good_dialogue_has_no_problems() -> None:
    assert find_problems(Dialogue([Turn("system", "Be kind."), *TALK])) == []
    assert find_problems(Dialogue(TALK), Limits(min_turns=3)) == [
        Problem("turns", "fewer than 3 turns")
    ]


# --- personal data, repeats -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to ann.lee+x@mail.example.org today", "Write to [EMAIL] today"),
        ("Call +49 30 1234567 or (555) 010-1234.", "Call [PHONE] or [PHONE]."),
        ("Card 4111 1111 1111 1111, please", "Card [CARD], please"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN [ACCOUNT]"),
        ("BE68 5390 0754 7034 IS MINE", "[ACCOUNT] IS MINE"),
        ("from 203.0.113.7", "from [IP]"),
        ("key sk-abcdefghijklmnop1234", "key [KEY]"),
        ("hf_ABCDEFGHIJKLMNOPqrstuvwx", "[KEY]"),
        ("AKIAIOSFODNN7EXAMPLE and github_pat_11ABCDEFG0abcdefghijkl", "[KEY] and [KEY]"),
        ("ssh root@192.168.0.1", "ssh [EMAIL]"),
        ("Call +677 12345 or mail me@xn--80ak6aa92e.xn--p1ai", "Call [PHONE] or mail [EMAIL]"),
    ],
)
def test_personal_data_is_masked(text: str, expected: str) -> None:
    assert mask_text(text)[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "Pi is 3.14159265358979, and 2 + 2 = 4.",
        "Version 1.2.3.4000 of 2023-04-03 costs $1,234.56",
        "127.0.0.1 is this machine; 300.1.1.1 is none.",
        "The number 4111 1111 1111 1112 is no card.",
        "for i in range(1000000): x[i] = 10000000",
        "npm install react@18.2.0 and rails@7.0.4.3",
        "git clone git@github.com:someone/thing.git",
        "5 +20000 = 20005, and +1 000 000 copies",
        "The checksum AB12CDEF0123456789AB",
        "import sk-learn-is-a-library, hf_transfer_is_enabled_by_default",
    ],
)
def test_other_numbers_are_not_masked(text: str) -> None:
    assert mask_text(text)[0] == text


def test_exact_and_near_repeats_are_recognized() -> None:
    text = " ".join(turn.content for turn in TALK)
    seen = SeenTexts()
    assert seen.add(text)
    assert not seen.add(text.upper().replace(",", " ,"))
    assert not seen.add(text.replace("winter", "the winter"))
    assert seen.add("Something else altogether, of another kind and length.")
    exactly = SeenTexts(1.0)
    assert exactly.add(text)
    assert exactly.add(text.replace("winter", "the winter"))


# --- counting, mixing, splitting ------------------------------------------------------------------


def corpus(name: str, count: int) -> list[Dialogue]:
    turns = [[Turn("user", f"{name} {i}?"), Turn("assistant", "Yes.")] for i in range(count)]
    return [Dialogue(pair, dialogue_id(pair), name) for pair in turns]


def test_statistics_match_the_paper_s_definitions() -> None:
    result = measure_corpus([Dialogue(TALK), *corpus("a", 1)])
    assert (result.dialogues, result.turns, result.average_turns) == (2, 3, 1.5)
    assert count_words("白泽 is a beast") == 5
    assert result.average_length == pytest.approx(31 / 6, abs=0.1)


def test_a_mix_keeps_its_ratios_and_takes_nothing_twice() -> None:
    a, b = corpus("a", 300), corpus("b", 100)
    result = mix([(a, 3.0), (b, 1.0)])
    assert len({dialogue.id for dialogue in result}) == len(result) == 400
    result = mix([(a, 1.0), (b, 1.0)], seed=4)
    assert [sum(d.source == name for d in result) for name in "ab"] == [100, 100]
    assert mix([(a, 1.0), (b, 1.0)], seed=4) == result != mix([(a, 1.0), (b, 1.0)], seed=5)
    assert len(mix([(a, 1.0), (b, 1.0)], total=50)) == 50


@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.floats(0.1, 10)), min_size=1, max_size=4),
    total=st.integers(1, 60) | st.none(),
)
def test_a_mix_is_never_larger_than_its_total(
    sizes: list[tuple[int, float]], total: int | None
) -> None:
    parts = [(corpus(f"c{n}", size), ratio) for n, (size, ratio) in enumerate(sizes)]
    mixed = mix(parts, total=total)
    largest = min(size * sum(r for _, r in sizes) / ratio for size, ratio in sizes)
    expected = largest if total is None else min(total, largest)
    assert expected - 1 < len(mixed) <= expected + 1e-6
    for part, ratio in parts:
        taken = sum(dialogue.source == part[0].source for dialogue in mixed)
        assert abs(taken - expected * ratio / sum(r for _, r in sizes)) < 1.001


def test_the_side_of_a_dialogue_does_not_depend_on_the_others() -> None:
    all_of_them = corpus("a", 1000)
    kept, held_out = split(all_of_them, 0.1)
    assert 60 < len(held_out) < 140
    assert len(kept) + len(held_out) == 1000
    _, fewer = split(all_of_them[::2], 0.1)
    assert {d.id for d in fewer} == {d.id for d in held_out} & {d.id for d in all_of_them[::2]}


# --- the commands ---------------------------------------------------------------------------------


def test_a_corpus_goes_through_all_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, clean = tmp_path / "source.jsonl", tmp_path / "clean.jsonl"
    good = FORMATS["sharegpt"]
    mail = {"instruction": "Whom do I ask about the garden?", "output": "Ask ann@example.org."}
    bad = {"messages": [{"role": "user", "content": "alone"}]}
    source.write_text(
        "".join(json.dumps(record) + "\n" for record in (good, good, mail, bad)) + "{\n"
    )
    assert run(["data", "validate", str(source)]) == 1
    out = capsys.readouterr().out
    assert "source.jsonl:4: only the user speaks" in out
    assert "3 of 5 dialogues are good" in out
    assert run(["data", "convert", str(source), "-o", str(clean), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["written"] == 2
    assert report["masked"] == {"EMAIL": 1}
    assert report["left_out"]["repeats an earlier dialogue"] == 1
    assert "ann@" not in clean.read_text()
    assert run(["data", "validate", str(clean)]) == 0
    assert run(["data", "stats", str(clean)]) == 0
    assert "clean.jsonl" in capsys.readouterr().out
    train, held_out = tmp_path / "train.jsonl", tmp_path / "eval.jsonl"
    sides = ["--train", str(train), "--eval", str(held_out), "--part", "0.5"]
    assert run(["data", "split", str(clean), *sides]) == 0
    assert len(train.read_text().splitlines()) + len(held_out.read_text().splitlines()) == 2
    assert (
        run(["data", "mix", f"{train}=1", f"{held_out}=1", "-o", str(tmp_path / "mix.jsonl")]) == 0
    )
    capsys.readouterr()
    teacher = "gpt-3.5-turbo: its terms forbid training models that compete"
    assert run(["data", "card", str(clean), "--license", "cc-by-nc-4.0", "--teacher", teacher]) == 0
    card = capsys.readouterr().out
    assert "license: cc-by-nc-4.0" in card
    assert teacher in card
    assert "| 2 | 1.5 |" in card


def test_corpora_of_the_same_name_are_measured_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, count in (("mine", 1), ("yours", 2)):
        (tmp_path / folder).mkdir()
        write_lines(tmp_path / folder / "train.jsonl", *[FORMATS["messages"]] * count)
    assert run(["data", "stats", "mine/train.jsonl", "yours/train.jsonl", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["corpora"]
    dialogues = {name: corpus["dialogues"] for name, corpus in counts.items()}
    assert dialogues == {"mine/train.jsonl": 1, "yours/train.jsonl": 2}


def test_a_corpus_that_adds_nothing_to_a_mix_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some, bad, mixed = (tmp_path / f"{name}.jsonl" for name in ("some", "bad", "mixed"))
    write_lines(some, *[FORMATS["messages"]] * 2)
    write_lines(bad, {"text": "?"})
    assert run(["data", "mix", f"{some}=1", f"{bad}=1", "-o", str(mixed)]) == 1
    assert "bad.jsonl: there is no dialogue in it" in capsys.readouterr().err
    assert not mixed.exists()
    shutil.copy(some, bad)
    assert run(["data", "mix", f"{some}=1", f"{bad}=100", "-o", str(mixed)]) == 0
    assert "some.jsonl: its ratio is so small" in capsys.readouterr().err


def test_a_source_stays_in_its_row_of_a_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {**FORMATS["messages"], "source": "forum | 2\nmore"}
    assert run(["data", "card", str(write_lines(tmp_path / "a.jsonl", record))]) == 0
    assert "\n| forum \\| 2 more | 1 |\n" in capsys.readouterr().out


def test_a_preview_of_no_dialogue_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_lines(tmp_path / "a.jsonl", FORMATS["messages"])
    assert run(["data", "preview", str(file), "--first", "2"]) == 1
    assert "a.jsonl has fewer than 2 dialogues" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["data", "stats", "gone.jsonl"], "gone.jsonl: No such file"),
        (["data", "mix", "gone.jsonl=x", "-o", "o"], "'x' is not a number"),
        (["data", "mix", "gone.jsonl=-1", "-o", "o"], "the ratio must be greater than 0"),
    ],
)
def test_an_impossible_request_is_one_line(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 1
    errors = capsys.readouterr().err
    assert why in errors
    assert errors.count("\n") == 1


# --- texts from anywhere --------------------------------------------------------------------------

HALF = "\ud83d half of a pair \udcff"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("convert", "a.jsonl", "-o", "a.jsonl"), "is read by this command"),
        (("convert", "a.jsonl", "-o", "./link.jsonl"), "is read by this command"),
        (("convert", "a.jsonl", "-o", "b.csv"), "name it .jsonl"),
        (("convert", "a.jsonl", "-o", "b.parquet"), "name it .jsonl"),
        (("split", "a.jsonl", "--train", "b.jsonl", "--eval", "b.jsonl"), "would be written twice"),
        (("split", "a.jsonl", "--train", "a.jsonl", "--eval", "b.jsonl"), "is read by this"),
        (("mix", "a.jsonl=1", "a.jsonl=2", "-o", "b.jsonl"), "named twice"),
        (("mix", "a.jsonl=1", "-o", "a.jsonl"), "is read by this command"),
        (("card", "a.jsonl", "-o", "a.jsonl"), "is read by this command"),
        (("convert", ".", "-o", "a.jsonl"), "is read by this command"),
        (("convert", ".", "-o", "new.jsonl"), "is read by this command"),
        (("convert", "hf:name", "-o", "b.jsonl"), "not a name on the hub"),
    ],
)
def test_a_command_loses_no_dialogue_of_another_file(
    arguments: tuple[str, ...],
    problem: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_lines(tmp_path / "a.jsonl", *[FORMATS["messages"]] * 3)
    (tmp_path / "link.jsonl").symlink_to("a.jsonl")
    before = (tmp_path / "a.jsonl").read_bytes()
    monkeypatch.chdir(tmp_path)
    assert run(["data", *arguments]) == 1
    errors = capsys.readouterr().err
    assert problem in errors
    assert errors.count("\n") == 1
    assert (tmp_path / "a.jsonl").read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"a.jsonl", "link.jsonl"}


@pytest.mark.parametrize("content", [b"My notes.\n", b"[1, 2]\n", b"\x89PNG\r\n", b'{"cut'])
def test_what_is_no_corpus_is_not_replaced(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, notes = tmp_path / "a.jsonl", tmp_path / "notes.txt"
    write_lines(corpus, FORMATS["messages"])
    notes.write_bytes(content)
    for command in (
        ("convert", corpus, "-o", notes),
        ("mix", f"{corpus}=1", "-o", notes),
        ("split", corpus, "--train", notes, "--eval", tmp_path / "b.jsonl"),
    ):
        assert run(["data", *map(str, command)]) == 1
        assert f"{notes} exists, and is no corpus: name another" in capsys.readouterr().err
    assert notes.read_bytes() == content
    for earlier in (b"", b"\n", corpus.read_bytes()):
        notes.write_bytes(earlier)
        assert run(["data", "convert", str(corpus), "-o", str(notes)]) == 0


def test_halves_of_surrogate_pairs_are_replaced_and_can_be_written(tmp_path: Path) -> None:
    record = {
        "messages": [{"role": "user", "content": HALF}, {"role": "assistant", "content": HALF}],
        **dict.fromkeys(("id", "source", "topic"), HALF),
        "meta": {"teacher": HALF, HALF: [HALF]},
    }
    (dialogue,) = read_corpus(write_lines(tmp_path / "a.jsonl", record))
    assert isinstance(dialogue, Dialogue)
    shown = "\N{REPLACEMENT CHARACTER} half of a pair \N{REPLACEMENT CHARACTER}"
    assert turn_pairs(dialogue) == [("user", shown), ("assistant", shown)]
    formats: tuple[CorpusFormat, ...] = ("messages", "sharegpt", "alpaca", "baize")
    for format in formats:
        write_corpus([dialogue], tmp_path / "out.jsonl", format)
    assert SeenTexts().add(shown)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    line = json.dumps(FORMATS["messages"])
    for content in (line, f"[{line}]"):
        (tmp_path / "a.jsonl").write_text(content, "utf-8-sig")
        (dialogue,) = read_corpus(tmp_path / "a.jsonl")
        assert turn_pairs(dialogue) == as_pairs(TALK)


def test_a_pickle_that_contains_one_list_a_billion_times_ends(tmp_path: Path) -> None:
    value: Any = ["x"]
    for _ in range(30):
        value = [value, value]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"topic": value}))
    (record,) = read_corpus(tmp_path / "a.pkl")
    assert record == InvalidRecord("a.pkl:1", "no transcript with [AI] in it")


@pytest.mark.parametrize(
    "keyed",
    [b"}%bK\x01s.", b"}(%bK\x01u.", b"(%bK\x01d.", b"\x8f(%b\x90.", b"(%b\x91."],
    ids=["item", "items", "dictionary", "set", "frozen set"],
)
def test_a_key_that_is_hashed_for_years_is_refused(tmp_path: Path, keyed: bytes) -> None:
    pairs = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86\x940" for n in range(60))
    values = b"K\x01\x940" + pairs  # each is kept, and taken off the stack; the last is a key
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + values + keyed % b"h\x3c")
    with pytest.raises(TrainError, match="a tuple is a key") as raised:
        list(read_corpus(tmp_path / "a.pkl"))
    assert "\n" not in str(raised.value)


def test_an_array_takes_no_memory_that_the_file_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".")
    with pytest.raises(TrainError, match="array of bytes"):
        list(read_corpus(tmp_path / "a.pkl"))


@pytest.mark.parametrize("form", ["%s\n", "[%s]", "[\n%s\n]", '{\n"a": %s}'], ids=repr)
@pytest.mark.parametrize("depth", [80, 150, 400, 600, 900, 980, 5000])
def test_deep_json_is_read_or_refused_in_one_line(
    form: str, depth: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A parser in C goes deeper than the code in Python that cleans what it has read."""
    file = tmp_path / "deep.json"
    file.write_text(form % f'{{"messages": [], "x": {"[" * depth}{"]" * depth}}}')
    run(["data", "validate", str(file)])
    shown, errors = capsys.readouterr()
    assert "unexpected" not in errors
    assert errors.count("\n") <= 1
    assert ("nested too deeply" in shown + errors) == (depth > 80)


@pytest.mark.parametrize("depth", [150, 400, 900])
def test_deep_json_in_a_cell_is_a_bad_record(depth: int, tmp_path: Path) -> None:
    turns = f'[{{"role": "user", "content": "Hi", "x": {"[" * depth}{"]" * depth}}}]'
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    (record,) = read_corpus(tmp_path / "a.jsonl")
    assert record == InvalidRecord("a.jsonl:1", "its turns are a text that is not JSON")


def test_a_deep_pickle_is_an_invalid_record(tmp_path: Path) -> None:
    value: Any = "[AI] deep"
    for _ in range(200):
        value = [value]
    raw = pickle.dumps({1: value})
    deep = b"]" * 100_000 + b"a" * 99_999  # each list is put into the one before it
    (tmp_path / "a.pkl").write_bytes(raw)
    assert isinstance(next(read_corpus(tmp_path / "a.pkl")), Dialogue)
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04}K\x01" + deep + b"s.")
    (record,) = read_corpus(tmp_path / "a.pkl")
    assert record == InvalidRecord("a.pkl:1", "nested too deeply")
