"""Data in every form is read exactly, or refused by name with its line."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baize_train.cli.app import run
from baize_train.corpus.dialogues import Dialogue, Turn, dialogue_id
from baize_train.corpus.quality import UNTRAINABLE, find_problems
from baize_train.corpus.reading import InvalidRecord, read_corpus, read_placed
from baize_train.corpus.writing import CorpusFormat, Unwritable, write_corpus
from baize_train.errors import TrainError
from baize_train.feedback.preferences import read_preferences
from baize_train.selfchat.seed_files import read_seed_file
from tests.train.input_formats import FORMS, PAGE, Form, page, rows, run_form, write_parquet

WITHOUT_PARQUET = importlib.util.find_spec("pyarrow") is None


@pytest.mark.sampled(45)
@pytest.mark.parametrize("command", ["validate", "convert"])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_each_form_is_right_or_refused(form: Form, command: str, tmp_path: Path) -> None:
    if form.suffix == ".parquet" and WITHOUT_PARQUET:
        pytest.skip("needs pyarrow")
    assert run_form(form, command, tmp_path) == ("refused" if form.refused else "right")


@pytest.mark.training
@pytest.mark.sweep
def test_the_table_in_the_documentation_is_what_the_commands_do() -> None:
    """Made by: python -m tests.train.input_formats"""
    cells = list(rows())
    for form, row in cells:
        assert row == ["refused" if form.refused else "right"] * 4, form.name
    assert PAGE.read_text() == page(cells)


# --- round trips ----------------------------------------------------------------------------------

TEXTS = st.text(min_size=1, max_size=40).filter(lambda text: text.strip())
FORMATS: tuple[CorpusFormat, ...] = ("messages", "sharegpt", "alpaca", "baize")


@st.composite
def dialogues(draw: st.DrawFn) -> Dialogue:
    turns = [Turn("system", draw(TEXTS))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns += [Turn("user", draw(TEXTS)), Turn("assistant", draw(TEXTS))]
    names = [draw(st.sampled_from(["", "a", "b c"])) for _ in range(3)]
    meta = {"teacher": names[2]} if names[2] else {}
    return Dialogue(turns, dialogue_id(turns), names[0] or "here", names[1], meta)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=30)
@given(dialogue=dialogues())
def test_a_dialogue_comes_back_with_its_origin_or_is_refused(
    format: CorpusFormat, dialogue: Dialogue, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("trip") / "x.jsonl"
    refused: list[Unwritable] = []
    if not write_corpus([dialogue], file, format, refused.append):
        assert format == "baize", refused
        return
    (back,) = read_corpus(file)
    assert isinstance(back, Dialogue)
    if format == "baize":  # it has no blanks around texts
        dialogue, back = _stripped(dialogue), _stripped(back)
    assert back == dialogue


def _stripped(dialogue: Dialogue) -> Dialogue:
    turns = [Turn(turn.role, turn.content.strip()) for turn in dialogue.messages]
    return Dialogue(turns, "", dialogue.source, dialogue.topic, dialogue.meta)


def test_an_empty_system_turn_is_not_written_as_none(tmp_path: Path) -> None:
    """Without one, training takes the system prompt of the chat."""
    dialogue = Dialogue([Turn("system", ""), Turn("user", "Why?"), Turn("assistant", "So.")])
    refused: list[Unwritable] = []
    assert not write_corpus([dialogue], tmp_path / "x.jsonl", "alpaca", refused.append)
    assert "an empty system turn can be written as messages" in str(refused[0])


@pytest.mark.parametrize("fields", [{}, {"topic": "number"}])
def test_a_number_may_say_where_a_dialogue_comes_from(
    fields: dict[str, str], tmp_path: Path
) -> None:
    record = {"question": "Why?", "answer": "So.", "source": 7, fields.get("topic", "topic"): 5}
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    (dialogue,) = read_corpus(tmp_path / "a.jsonl", fields)
    assert isinstance(dialogue, Dialogue)
    assert (dialogue.source, dialogue.topic) == ("7", "5")


@pytest.mark.parametrize("format", ["messages", "sharegpt"])
def test_names_weights_and_thoughts_come_back(format: CorpusFormat, tmp_path: Path) -> None:
    turns = [Turn("user", "Why?", name="Ann"), Turn("assistant", "So.", "", 0, "Hm.")]
    file = tmp_path / "x.jsonl"
    write_corpus([Dialogue(turns, "7")], file, format)
    (back,) = read_corpus(file)
    assert isinstance(back, Dialogue)
    assert back.messages == turns


# --- what is reported -----------------------------------------------------------------------------


def test_keys_with_text_that_are_not_read_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record: dict[str, Any] = {"question": "Why?", "answer": "So.", "explanation": "It is long."}
    quiet = {"score": 3, "time": "2024-01-01", "tags": [1, 2], "empty": ""}
    file = tmp_path / "a.jsonl"
    file.write_text((json.dumps({**record, **quiet}) + "\n") * 3)
    assert run(["data", "convert", str(file), "-o", str(tmp_path / "b.jsonl")]) == 0
    errors = capsys.readouterr().err
    assert "a.jsonl: keys with text that are not read: explanation (3)\n" in errors
    assert run(["data", "validate", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unread"] == {"explanation": 3}


def test_a_preview_reports_them_too(
    smollm2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"question": "Why?", "answer": "So.", "explanation": "Long."}))
    assert run(["data", "preview", str(file), "--base", str(smollm2)]) == 0
    assert "a.jsonl: keys with text that are not read: explanation (1)" in capsys.readouterr().err


def test_no_part_of_a_record_is_lost_for_its_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [
        {"id": 0, "instruction": "Why?", "output": "So.", "input": [], "meta": "From a letter."},
        {"instruction": "Double this number.", "input": 21, "output": "42"},
        {"instruction": "Sort these.", "input": ["b", "a"], "output": "a, b"},
    ]
    source, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert run(["data", "convert", str(source), "-o", str(output)]) == 0
    errors = capsys.readouterr().err
    assert "keys with text that are not read: meta (1)" in errors
    for line in (2, 3):
        assert f"a.jsonl:{line}: its input is not text; skipped" in errors
    assert [dialogue.id for dialogue in _read(output)] == ["0"]


PUT_TOGETHER: dict[str, list[dict[str, Any]]] = {
    "ShareGPT's turns": [
        {"role": None, "content": None, "from": "human", "value": "Why?"},
        {"role": None, "content": None, "from": "gpt", "value": "So."},
    ],
    "parts": [
        {"role": "user", "content": [{"type": None, "text": "Why?", "image_url": None}]},
        {"role": "assistant", "content": {"type": "text", "text": "So."}},
    ],
    "roles as somebody typed them": [
        {"role": " User", "content": "Why?"},
        {"role": "Assistant ", "content": "So."},
    ],
}


@pytest.mark.parametrize("name", PUT_TOGETHER)
def test_turns_of_datasets_that_were_put_together_are_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"messages": PUT_TOGETHER[name]}))
    (dialogue,) = _read(file)
    assert [(t.role, t.content) for t in dialogue.messages] == [
        ("user", "Why?"),
        ("assistant", "So."),
    ]


MISSING = {
    "NaN": '{"id": NaN, "instruction": "Why?", "input": NaN, "output": "So.", "history": NaN}\n',
    "NaN of another format": '{"messages": NaN, "question": "Why?", "answer": "So."}\n',
    "NaN in turns": '{"messages": [{"role": "user", "content": "Why?", "weight": NaN}, '
    '{"role": "assistant", "content": "So.", "weight": NaN, "tool_calls": NaN}]}\n',
    "empty cells": "messages,instruction,input,output,history,chosen,rejected\n,Why?,,So.,,,\n",
}


@pytest.mark.parametrize("name", MISSING)
def test_a_value_that_is_missing_is_no_value(name: str, tmp_path: Path) -> None:
    """Tables have all columns in every row, and pandas writes NaN."""
    file = tmp_path / ("a.csv" if "cells" in name else "a.jsonl")
    file.write_text(MISSING[name])
    (dialogue,) = _read(file)
    assert [turn.content for turn in dialogue.messages] == ["Why?", "So."]
    assert dialogue.id == dialogue_id(dialogue.messages)


def test_a_field_of_map_may_be_empty_where_it_is_not_needed(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [{"sys": None}, {"sys": ""}, {"sys": "Be brief."}, {}]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"q": "Why?", "a": "So.", **r}) + "\n" for r in records))
    *dialogues, last = read_corpus(file, {"user": "q", "assistant": "a", "system": "sys"})
    systems = [d.messages[0].content for d in dialogues if isinstance(d, Dialogue)]
    assert systems == ["Why?", "Why?", "Be brief."]
    assert isinstance(last, InvalidRecord), "a typing error is not"
    assert last.problem == "it has no sys"


def test_keys_of_turns_are_reported_too(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Why?", "note": "odd"}, {"role": "ai", "content": "So."}]
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"messages": turns}))
    unread: Counter[str] = Counter()
    list(read_corpus(file, unread=unread))
    assert unread == {"turns: note": 1}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["user=a"], "both user=FIELD and assistant=FIELD"),
        (["usr=a"], "where ROLE is one of"),
        (["user"], "write ROLE=FIELD"),
        (["role=a"], "need messages=FIELD"),
    ],
)
def test_a_wrong_map_is_one_line(
    arguments: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [part for argument in arguments for part in ("--map", argument)]
    assert run(["data", "validate", str(tmp_path), *options]) == 1
    errors = capsys.readouterr().err
    assert why in errors
    assert errors.count("\n") == 1


@settings(max_examples=30)
@given(
    values=st.lists(st.recursive(st.none() | st.text(), st.lists), min_size=1, max_size=5),
    indent=st.sampled_from([None, 1, 3]),
    blank=st.integers(0, 3),
)
def test_lines_are_those_of_the_file(
    values: list[Any], indent: int | None, blank: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each item of a list in whatever layout, with the line where it begins."""
    parts, lines, text = (
        [json.dumps({"n": v}, indent=indent) for v in values],
        [],
        "\n" * blank + "[",
    )
    for number, part in enumerate(parts):
        text += ("," if number else "") + "\n" * ((number + blank) % 3)
        lines.append(text.count("\n") + 1)
        text += part + "\n" * (blank % 2)
    file = tmp_path_factory.mktemp("lines") / "x.json"
    file.write_text(text + "]")
    assert [place for place, _ in read_placed(file)] == [f"x.json:{line}" for line in lines]


GOOD_LINE = '{"question": "Why?", "answer": "So."}'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            f'{GOOD_LINE}\n{{"question": "W\n',
            "a.json:2: not JSON: Unterminated string in column 14",
        ),
        (f"{GOOD_LINE},\n{GOOD_LINE},\n", "more after the record in column 38: one record to a"),
        (f'[{GOOD_LINE},\n{{\n"a": 1 2}}]', "a.json:3: not a JSON list: Expecting ',' delimiter"),
        ('{\n"a":\n1 2}', "a.json:3: not JSON: Expecting ',' delimiter in column 3"),
    ],
)
def test_broken_json_has_its_line_and_column(
    text: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(text)
    run(["data", "validate", str(tmp_path / "a.json")])
    printed = capsys.readouterr()
    assert problem in printed.out + printed.err


# --- nothing unusual is dropped -------------------------------------------------------------------

UNUSUAL = (
    ("What is `impl<S>` in Rust?", "It begins a block: `impl<S> Trait for Type<S>`."),
    ("Where is it?", "See [AI](https://example.org) for that."),
    ("Could you please tell me the way?", "Can you tell me where you are?"),
    ("Write Python.", "    def f():\n        return 1"),
    ("Which version?", "Version 1.2.3.4, or numpy==1.22.33.44."),
    ("2+2", "4"),
    ("2-2", "0"),
    ("Thanks!", "You're welcome."),
    ("Thanks for that!", "As an AI language model, I cannot feel that."),
)


def test_convert_keeps_what_is_merely_unusual(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = "Please summarise this review in one short sentence: the {} arrived and works."
    pairs = [*UNUSUAL, *((template.format(w), f"The {w} is good.") for w in ("lamp", "chair"))]
    source, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in pairs))
    assert run(["data", "convert", str(source), "-o", str(output), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["written"], report["left_out"], report["masked"]) == (len(pairs), {}, {})
    assert [d.messages[1].content for d in _read(output)] == [answer for _, answer in pairs]
    filters = ["--filter", "all", "--dedupe", "0.6", "--no-filter", "length"]
    assert run(["data", "convert", str(source), "-o", str(output), "--json", *filters]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["filters"] == {"role-drift": 1, "refusal": 1, "repeats": 1}
    assert report["written"] + sum(report["filters"].values()) == len(pairs)


NOT_REPEATS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another rejected answer": ({"rejected": "No."}, {"rejected": "Why not?"}),
    "another system prompt": ({"system": "Be brief."}, {"system": "Be a pirate."}),
    "code with other blanks": ({"chosen": "if x:\n  a()\nb()"}, {"chosen": "if x:\n  a()\n  b()"}),
}


@pytest.mark.parametrize("name", NOT_REPEATS)
def test_convert_drops_exact_repeats_alone(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
    records = [{**pair, **changes} for changes in NOT_REPEATS[name]]
    source, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in [*records, *records]))
    assert run(["data", "convert", str(source), "-o", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["filters"] == {"repeats": 2}
    assert len(_read(output)) == 2


def _read(file: Path) -> list[Dialogue]:
    records = list(read_corpus(file))
    assert not any(isinstance(record, InvalidRecord) for record in records)
    return [record for record in records if isinstance(record, Dialogue)]


def test_personal_data_is_masked_in_topic_and_meta(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = "bob@example.com"
    record = {
        "topic": f"Mail to {mail}",
        "messages": [
            {"role": "user", "content": f"Mail {mail}?"},
            {"role": "assistant", "content": f"Sent to {mail}."},
        ],
        "meta": {"from": [{"mail": mail}], "key": "0" * 16},
    }
    source, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text(json.dumps(record))
    assert run(["data", "convert", str(source), "-o", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["masked"] == {"EMAIL": 4}
    assert mail not in output.read_text()
    (dialogue,) = _read(output)
    assert dialogue.meta["key"] == "0" * 16


MAIL = "bob@example.com"
ANSWER = {"role": "assistant", "content": "Hello."}
PRIVATE_PLACES: dict[str, dict[str, Any]] = {
    "id": {"id": MAIL},
    "id of unchanged turns": {"id": f"{MAIL} 1", "topic": "trees"},
    "source": {"source": f"mail/{MAIL}.json"},
    "topic": {"topic": MAIL},
    "name": {"messages": [{"role": "user", "content": "Hi", "name": MAIL}, ANSWER]},
    "meta": {"meta": {"from": MAIL}},
    "a name in meta": {"meta": {MAIL: 1, "ann@example.com": 2}},
    "a name further down": {"meta": {"to": [{MAIL: "yes"}]}},
}


@pytest.mark.parametrize("place", PRIVATE_PLACES)
def test_personal_data_is_masked_wherever_it_is(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"messages": [{"role": "user", "content": "Hi"}, ANSWER], **PRIVATE_PLACES[place]}
    source, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text(json.dumps(record))
    assert run(["data", "convert", str(source), "-o", str(output), "--json"]) == 0
    count = len(record.get("meta", {})) if place == "a name in meta" else 1
    assert json.loads(capsys.readouterr().out)["masked"] == {"EMAIL": count}
    assert "@example.com" not in output.read_text()
    (dialogue,) = _read(output)
    assert dialogue.id
    if place == "a name in meta":
        assert sorted(dialogue.meta.values()) == [1, 2], "no value is lost"


@pytest.mark.parametrize("history", ["Hi", 7, {"Hi": "Hello."}, [["Hi"]], ["Hi"], [[1, 2]], True])
def test_a_history_that_is_not_pairs_of_texts_is_named(
    history: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"instruction": "And now?", "output": "Now.", "history": history}
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps(record))
    assert run(["data", "validate", str(source)]) == 1
    printed = capsys.readouterr()
    assert "a.jsonl:1: " in printed.out
    assert "history" in printed.out


NO = {"role": "assistant", "content": "No."}
ASK, YES = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
PAIRS: dict[str, dict[str, Any]] = {
    "LLaMA-Factory's Alpaca": {"instruction": "Why?", "input": "", "chosen": "So."},
    "distilabel": {"input": "Why?", "chosen": "So.", "generations": ["So.", "No."]},
    "one message": {"prompt": [ASK], "chosen": YES, "rejected": NO},
    "a prompt without its system turn": {
        "prompt": "Why? ",
        "chosen": [{"role": "system", "content": "Be brief."}, ASK, YES],
        "rejected": [{"role": "system", "content": "Be brief."}, ASK, NO],
    },
    "a prompt as in HH-RLHF": {"prompt": "\n\nHuman: Why?\n\nAssistant:", "chosen": "So."},
    "earlier turns": {"conversations": [ASK, NO, ASK], "chosen": YES, "rejected": NO},
    "columns of other rows": {"messages": None, "prompt": None, "query": "Why?", "chosen": "So."},
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_have_their_question_wherever_it_is(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"rejected": "No.", **PAIRS[name]}))
    (dialogue,) = _read(file)
    (pair,) = read_preferences([dialogue])
    assert (pair.best, pair.worst) == ("So.", "No.")
    assert [turn.content for turn in pair.question if turn.role == "user"][-1] == "Why?"
    assert find_problems(dialogue, filters=UNTRAINABLE) == []


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"chosen": [ASK, YES], "rejected": [YES, ASK, NO]}, "are to different questions"),
        ({"chosen": "So.", "rejected": "No."}, "its chosen has no question"),
        ({"prompt": "Why?", "chosen": "So.", "rejected": None}, "its rejected is null"),
        ({"prompt": "Why?", "chosen": [YES], "rejected": []}, "its rejected ends without"),
        ({"data": [{"question": "Why?", "answer": "So."}] * 2}, "data is a list of 2 records"),
        ({"train": [{"question": "Why?"}]}, "train is a list of 1 records: save that list"),
        ({"chat": [ASK, YES]}, "chat is a list of turns: name it with --map messages=chat"),
        (
            {"prompt": "Why?", "answers": ["So."]},
            "but prompt, answers: name its answer with --map user=prompt --map assistant=FIELD",
        ),
        (ASK, "a single turn: put the turns of each dialogue into one list"),
        ({"messages": [ASK, YES], "system": [{"type": "image"}]}, "its system has a part that"),
        ({"title": "x", "mapping": {}}, "baize-tui sessions import"),
        ({"messages": "[{'role': 'user'} {'role': 'assistant'}]"}, "not JSON"),
        ({"messages": [ASK, {**YES, "train_detail": [{"train": False}]}]}, "trained in part"),
        ({"messages": [ASK, {**YES, "loss": 0.5}]}, "loss is neither true nor false"),
    ],
)
def test_a_record_that_is_no_dialogue_says_what_to_do(
    record: dict[str, Any], why: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(record))
    (read,) = read_corpus(file)
    assert isinstance(read, InvalidRecord)
    assert why in read.problem


def test_an_empty_rejected_answer_is_one(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"prompt": "Why?", "chosen": "So.", "rejected": ""}))
    (pair,) = read_preferences(_read(file))
    assert (pair.best, pair.worst) == ("So.", "")


def test_the_label_of_a_pair_refuses_no_answer(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"prompt": "Why?", "chosen": "So.", "rejected": "No.", "label": 0}))
    assert len(_read(file)) == 1


def test_messages_in_a_cell_may_have_half_a_pair_of_surrogates(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    turns = json.dumps([{**ASK, "content": "\ud83d?"}, YES]).replace('"', '""')
    file.write_text(f'messages\n"{turns}"\n')
    (dialogue,) = _read(file)
    assert dialogue.messages[0].content == "\ufffd?"


def test_an_answer_about_messages_stays_a_text(tmp_path: Path) -> None:
    answer = '[{"role": "user", "content": "Hi"}]'
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"prompt": "Greet me as OpenAI's API does.", "completion": answer}))
    (dialogue,) = _read(file)
    assert dialogue.messages[1].content == answer


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_cells_do_not_decide_the_delimiter(end: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(f"question,answer{end}Why; when; where; how?,So.{end}".encode())
    (dialogue,) = _read(file)
    assert [turn.content for turn in dialogue.messages] == ["Why; when; where; how?", "So."]


def test_a_first_line_may_name_the_delimiter_and_columns_may_have_no_name(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"sep=;\r\n;question;answer;;\r\n0;Why, then?;So.;one;two\r\n1;Eh?\r\n")
    unread: Counter[str] = Counter()
    dialogue, short = read_corpus(file, unread=unread)
    assert isinstance(dialogue, Dialogue)
    assert [turn.content for turn in dialogue.messages] == ["Why, then?", "So."]
    assert unread == {"column 4": 1, "column 5": 1}
    assert isinstance(short, InvalidRecord)
    assert short.place == "a.csv:4"


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 9\n"


@pytest.mark.skipif(WITHOUT_PARQUET, reason="needs pyarrow")
def test_a_parquet_file_may_be_a_pointer_too(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(LFS_POINTER)
    with pytest.raises(TrainError, match="run 'git lfs pull'"):
        list(read_corpus(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.jsonl.gz", gzip.compress(b"{}", mtime=0), "compressed (gzip): unpack it first"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd12", "compressed (Zstandard)"),
        ("a.csv", b"PK\x03\x0412", "an Excel workbook"),
        ("a.jsonl", LFS_POINTER, "a pointer of Git LFS, not the data: run 'git lfs pull'"),
        ("a.json", b"<!doctype html>\n<html>", "a web page: download the file itself"),
        ("shard-0", b"PAR1\x15\x04", "a Parquet file: give it a name that ends with .parquet"),
        ("data.arrow", b"\xff\xff\xff\xff\x10", "an Arrow file: save the dataset as Parquet"),
        ("a.jsonl", b"\xff\xfe{", "not UTF-16"),
        ("a.csv", b"question,answer,answer\n1,2,3\n", "two columns have the name 'answer'"),
        ("a.csv", b"question,answer\nWarum gr\xfcn?,So\n", ":2: not UTF-8"),
    ],
)
def test_a_file_in_another_form_says_what_to_do(
    name: str, content: bytes, why: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainError, match=re.escape(why)):
        list(read_corpus(tmp_path / name))
    with pytest.raises(TrainError, match=re.escape(why)):
        list(read_seed_file(tmp_path / name))


@pytest.mark.skipif(WITHOUT_PARQUET, reason="needs pyarrow")
def test_an_ending_in_capitals_says_the_same(tmp_path: Path) -> None:
    write_parquet({"question": "Why?", "answer": "So."})(tmp_path / "A.PARQUET")
    assert len(_read(tmp_path / "A.PARQUET")) == 1


def test_languages_are_recognized(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [
        ("Which trees lose their leaves?", "Oaks, maples and birches lose their leaves."),
        ("Welche Bäume verlieren ihre Blätter?", "Eichen, Ahorne und Birken tun das im Herbst."),
    ]
    source, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in pairs))
    language = ["--language", "de", "--json"]
    assert run(["data", "convert", str(source), "-o", str(output), *language]) == 0
    assert json.loads(capsys.readouterr().out)["filters"] == {"language": 1}
    assert [d.messages[0].content for d in _read(output)] == [pairs[1][0]]
