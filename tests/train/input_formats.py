"""What each command does with data in each form; writes ``docs/input-formats.md``::

    python -m tests.train.input_formats

Every form of data goes through ``data validate``, ``data convert``, ``data preview`` and
``finetune --dry-run`` as a person would run them. A cell is right if exactly the expected turns
come out, with the expected tokens trained, or if the record is refused by its reason and its line.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from baize_train.cli.app import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "input-formats.md"
COMMANDS = ("validate", "convert", "preview", "finetune")
Q, A, Q2, A2, SYSTEM = "Why is it so?", "Because it is.", "And then?", "    Then x.", "Be brief."
SIDE = "A tool's words."
Pair = tuple[str, str]
ONE: tuple[Pair, ...] = (("user", Q), ("assistant", A))
TWO: tuple[Pair, ...] = (*ONE, ("user", Q2), ("assistant", A2))
WITH_SYSTEM: tuple[Pair, ...] = (("system", SYSTEM), *ONE)


@dataclass(frozen=True)
class Form:
    """Data in one form: a good record, and what has to come out of it."""

    name: str
    data: Any
    """One record, or a function that writes the file."""
    turns: tuple[Pair, ...] = ONE
    refused: str = ""
    """Part of the reason, if it has to be refused."""
    line: int = 1
    options: tuple[str, ...] = ()
    suffix: str = ".jsonl"
    untrained: tuple[str, ...] = ()
    """Answers that must not be trained."""
    unread: str = ""
    """A key that has to be reported."""
    more: dict[str, Any] = field(default_factory=dict)
    """Other parts of the converted dialogue."""


def messages(*pairs: Pair, **more: Any) -> list[dict[str, Any]]:
    return [{"role": role, "content": text, **more} for role, text in pairs]


def sharegpt(*pairs: Pair) -> list[dict[str, Any]]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": names[role], "value": text} for role, text in pairs]


def write_json(
    *values: Any, indent: int | None = None, bom: bool = False
) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        text = "\n".join(json.dumps(value, indent=indent, ensure_ascii=False) for value in values)
        file.write_text(f"{text}\n", "utf-8-sig" if bom else "utf-8")

    return write


def write_utf16(file: Path) -> None:
    """As Windows' PowerShell does with ``>``."""
    file.write_text(json.dumps({"messages": messages(*TWO)}) + "\n\n", "utf-16")


def write_table(*rows: list[str]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)

    return write


def write_parquet(record: dict[str, Any]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        with file.open("wb") as stream:  # pyarrow takes no path that is not UTF-8
            parquet.write_table(pyarrow.Table.from_pylist([record]), stream)

    return write


PARTS = [
    {"role": "user", "content": [{"type": "text", "text": Q}]},
    {"role": "assistant", "content": [{"type": "text", "text": A}]},
]
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
TOOL = [*messages(ONE[0]), {"role": "tool", "content": SIDE}, *messages(ONE[1])]
CALL = [
    *messages(ONE[0]),
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},
]
FIRST_UNTRAINED = messages(*TWO)
FIRST_UNTRAINED[1]["weight"] = 0
NOT_TRAINED = messages(*TWO)
NOT_TRAINED[1]["train"] = False
NO_LOSS = messages(*TWO)
NO_LOSS[1]["loss"] = False
COLUMNS = {"role": [role for role, _ in ONE], "content": [text for _, text in ONE]}
HALF = messages(*ONE)
HALF[1]["weight"] = 0.5
CHOSEN = {"prompt": Q, "chosen": A, "rejected": "No."}
HH = {
    "chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}",
    "rejected": f"\n\nHuman: {Q}\n\nAssistant: No.",
}
TRANSCRIPT = f"The conversation.\n[|Human|] {Q}\n[|AI|] {A}\n[|Human|] "
LINE_SEPARATOR = (("user", Q), ("assistant", "One\u2028two."))
HUGE = "Because " + "it is, " * 40_000 + "so."

FORMS: tuple[Form, ...] = (
    Form("TRL messages", {"messages": messages(*TWO)}, TWO),
    Form("messages with content parts", {"messages": PARTS}),
    Form(
        "messages with `system` in parts, as Anthropic has them",
        {"system": [{"type": "text", "text": SYSTEM}], "messages": messages(*ONE)},
        WITH_SYSTEM,
    ),
    Form(
        "messages of a request, and its response",
        {"messages": messages(*WITH_SYSTEM[:2]), "response": A},
        WITH_SYSTEM,
    ),
    Form("messages with a picture", {"messages": PICTURE}, refused="image_url"),
    Form("messages with a `tool` turn", {"messages": TOOL}, refused="turn 2 is a tool's"),
    Form("messages with `tool_calls`", {"messages": CALL}, refused="turn 2 calls a tool"),
    Form(
        "a record with `tools`",
        {"messages": messages(*ONE), "tools": [{"name": "f"}]},
        refused="it has tools",
    ),
    Form(
        "columns of other rows for tools",
        {"messages": messages(*ONE), "tools": "null", "functions": "[ ]"},
    ),
    Form(
        "an `image`, as in LLaVA",
        {"image": "cat.jpg", "conversations": sharegpt(*ONE)},
        refused="it has images (image)",
    ),
    Form(
        "`videos`, as in LLaMA-Factory",
        {"messages": messages(*ONE), "videos": ["cat.mp4"], "audios": []},
        refused="it has videos",
    ),
    Form(
        "an empty column for images",
        {"question": Q, "answer": A, "image": {"bytes": None, "path": None}, "images": None},
    ),
    Form("a `developer` turn", {"messages": messages(("developer", SYSTEM), *ONE)}, WITH_SYSTEM),
    Form("messages with names", {"messages": messages(*ONE, name="Ann")}),
    Form("`weight: 0`", {"messages": FIRST_UNTRAINED}, TWO, untrained=(A,)),
    Form("`train: false`", {"messages": NOT_TRAINED}, TWO, untrained=(A,)),
    Form("`loss: false`", {"messages": NO_LOSS}, TWO, untrained=(A,)),
    Form("`weight: 0.5`", {"messages": HALF}, refused="only 0 and 1"),
    Form(
        "`content: null`",
        {"messages": messages(ONE[0], ("assistant", None))},  # type: ignore[arg-type]
        refused="turn 2 has no text",
    ),
    Form("messages in columns", {"messages": COLUMNS}),
    Form(
        "messages with `label: false`",
        {"messages": messages(*ONE), "label": False},
        refused="marked as bad",
    ),
    Form("ShareGPT", {"conversations": sharegpt(*TWO)}, TWO),
    Form(
        "ShareGPT with `system`", {"system": SYSTEM, "conversations": sharegpt(*ONE)}, WITH_SYSTEM
    ),
    Form(
        "ShareGPT with `observation`",
        {"conversations": [*sharegpt(ONE[0]), {"from": "observation", "value": SIDE}]},
        refused="turn 2 is a tool's",
    ),
    Form(
        "exchanges, as in Capybara and XTuner",
        {
            "conversation": [
                {"system": SYSTEM, "input": Q, "output": A, "output_with_loss": False},
                {"input": Q2, "output": A2},
            ]
        },
        (("system", SYSTEM), *TWO),
        untrained=(A,),
    ),
    Form("Alpaca", {"instruction": Q, "input": "", "output": A}),
    Form(
        "Alpaca with `input`",
        {"instruction": "Say.", "input": Q, "output": A},
        (("user", f"Say.\n\n{Q}"), ONE[1]),
    ),
    Form(
        "Alpaca with `system` and `history`",
        {"instruction": Q2, "output": A2, "system": SYSTEM, "history": [[Q, A]]},
        (("system", SYSTEM), *TWO),
    ),
    Form(
        "Alpaca with `output: null`",
        {"instruction": Q, "output": None},
        refused="its output is null",
    ),
    Form(
        "Dolly",
        {"instruction": Q, "context": "", "response": A, "category": "open_qa"},
        unread="category",
    ),
    Form("prompt, completion", {"prompt": Q, "completion": A}),
    Form(
        "prompt, completion as one message each",
        {"prompt": messages(ONE[0])[0], "completion": messages(ONE[1])[0]},
    ),
    Form(
        "prompt, completion as messages",
        {"prompt": messages(ONE[0]), "completion": messages(ONE[1])},
    ),
    Form(
        "prompt, completion, `label: false`",
        {"prompt": Q, "completion": A, "label": False},
        refused="marked as bad",
    ),
    Form("prompt, chosen, rejected", CHOSEN, more={"meta": {"rejected_answer": "No."}}),
    Form(
        "chosen, rejected as messages",
        {"chosen": messages(*ONE), "rejected": messages(ONE[0], ("assistant", "No."))},
        more={"meta": {"rejected_answer": "No."}},
    ),
    Form("chosen, rejected as in HH-RLHF", HH, more={"meta": {"rejected_answer": "No."}}),
    Form(
        "question, chosen, rejected, as in Orca's pairs",
        {"system": SYSTEM, "question": Q, "chosen": A, "rejected": "No."},
        WITH_SYSTEM,
        more={"meta": {"rejected_answer": "No."}},
    ),
    Form(
        "ShareGPT, chosen, rejected, as in LLaMA-Factory",
        {
            "conversations": sharegpt(ONE[0]),
            "chosen": sharegpt(ONE[1])[0],
            "rejected": {"from": "gpt", "value": "No."},
        },
        more={"meta": {"rejected_answer": "No."}},
    ),
    Form(
        "UltraFeedback",
        {
            "prompt": Q,
            "chosen": messages(*ONE),
            "rejected": messages(ONE[0], ("assistant", "No.")),
            "messages": messages(*ONE),
        },
        more={"meta": {"rejected_answer": "No."}},
    ),
    Form(
        "OpenAI's pairs",
        {
            "input": {"messages": messages(ONE[0]), "tools": []},
            "preferred_output": messages(ONE[1]),
            "non_preferred_output": messages(("assistant", "No.")),
        },
        more={"meta": {"rejected_answer": "No."}},
    ),
    Form("distilabel", {"instruction": Q, "generation": A, "model_name": "m"}, unread="model_name"),
    Form("question, answer", {"question": Q, "answer": A}),
    Form("question, answer, `history`", {"query": Q2, "response": A2, "history": [[Q, A]]}, TWO),
    Form("OpenOrca", {"system_prompt": SYSTEM, "question": Q, "response": A}, WITH_SYSTEM),
    Form("UltraChat", {"id": "7", "data": [Q, A, Q2, A2]}, TWO, more={"id": "7"}),
    Form(
        "UltraChat 200k",
        {"prompt": Q, "messages": messages(*ONE), "prompt_id": "f00d"},
        unread="prompt_id",
    ),
    Form("the original Baize's `input`", {"topic": "t", "input": TRANSCRIPT}, more={"topic": "t"}),
    Form(
        "topic, source, teacher, system",
        {
            "system": SYSTEM,
            "conversations": sharegpt(*ONE),
            "topic": "t",
            "source": "s",
            "teacher": "m",
        },
        WITH_SYSTEM,
        more={"topic": "t", "source": "s", "meta": {"teacher": "m"}},
    ),
    Form("`text` alone", {"text": f"{Q} {A}"}, refused="name them with --map"),
    Form(
        "other keys with `--map`",
        {"ask": Q, "say": A},
        options=("--map", "user=ask", "--map", "assistant=say"),
    ),
    Form(
        "other keys of messages with `--map`",
        {"chat": [{"who": "user", "said": Q}, {"who": "bot", "said": A}]},
        options=("--map", "messages=chat", "--map", "role=who", "--map", "content=said"),
    ),
    Form(
        "a field that `--map` names and that is not there",
        {"ask": Q},
        options=("--map", "user=ask", "--map", "assistant=say"),
        refused="it has no say",
    ),
    Form("a JSON list", write_json([{"messages": messages(*ONE)}], indent=1), suffix=".json"),
    Form("a JSON list of lists of messages", write_json([messages(*TWO)]), TWO, suffix=".json"),
    Form(
        "JSONL with a list of messages on each line, wrong in line 1",
        write_json([{"from": "nobody"}], messages(*ONE)),
        refused="unknown role 'nobody'",
    ),
    Form(
        "a JSON list, wrong in line 3",
        lambda file: file.write_text('[\n\n{"text": "x"}\n]') and None,
        refused="--map",
        line=3,
        suffix=".json",
    ),
    Form(
        "one JSON object with a BOM",
        write_json({"messages": messages(*ONE)}, indent=2, bom=True),
        suffix=".json",
    ),
    Form("JSONL with U+2028", write_json({"messages": messages(*LINE_SEPARATOR)}), LINE_SEPARATOR),
    Form(
        "JSONL with blank lines, wrong in line 4",
        lambda file: file.write_text('\n\n\n{"text": "x"}\n') and None,
        refused="--map",
        line=4,
    ),
    Form("JSONL in UTF-16", write_utf16, TWO),
    Form("CSV", write_table(["question", "answer"], [Q, A]), suffix=".csv"),
    Form(
        "CSV with semicolons",
        lambda file: file.write_text(f"question;answer\n{Q};{A}\n") and None,
        suffix=".csv",
    ),
    Form(
        "CSV with messages as JSON",
        write_table(["messages"], [json.dumps(messages(*ONE))]),
        suffix=".csv",
    ),
    Form(
        "CSV with messages as pandas writes them",
        write_table(["messages"], [str(messages(*ONE))]),
        suffix=".csv",
    ),
    Form(
        "CSV with prompt, chosen, rejected as JSON",
        write_table(
            ["prompt", "chosen", "rejected"],
            [json.dumps(messages(pair)) for pair in (*ONE, ("assistant", "No."))],
        ),
        more={"meta": {"rejected_answer": "No."}},
        suffix=".csv",
    ),
    Form(
        "CSV with chosen, rejected as NumPy prints them",
        write_table(
            ["chosen", "rejected"],
            [str(messages(*ONE)).replace("}, {", "}\n {"), "[{'role': 'user', 'content': 'W...]"],
        ),
        refused="a text with turns that is not JSON",
        line=2,
        suffix=".csv",
    ),
    Form(
        "CSV with Alpaca's `history` as JSON",
        write_table(["instruction", "output", "history"], [Q2, A2, json.dumps([[Q, A]])]),
        TWO,
        suffix=".csv",
    ),
    Form(
        "CSV with a cell of 280,000 characters",
        write_table(["question", "answer"], [Q, HUGE]),
        (ONE[0], ("assistant", HUGE)),
        suffix=".csv",
    ),
    Form(
        "CSV, wrong in line 2",
        write_table(["question", "answer"], [Q, A, "x"]),
        refused="3 cells",
        line=2,
        suffix=".csv",
    ),
    Form("Parquet", write_parquet({"messages": messages(*ONE)}), suffix=".parquet"),
)


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    errors: str


def call(*arguments: object) -> Result:
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = run([str(argument) for argument in arguments])
    return Result(code, out.getvalue(), errors.getvalue())


def run_form(form: Form, command: str, folder: Path) -> str:
    """What ``command`` does with ``form``: ``right``, ``refused``, or what is wrong."""
    file = folder / f"data{form.suffix}"
    if callable(form.data):
        form.data(file)
    else:
        file.write_text(json.dumps(form.data) + "\n")
    return _CHECKS[command](form, file)


def _validate(form: Form, file: Path) -> str:
    done = call("data", "validate", file, *form.options)
    if form.refused:
        return _refusal(form, done.out)
    return "right" if done.code == 0 and form.unread in done.out else f"wrong: {done}"


def _convert(form: Form, file: Path) -> str:
    output = file.with_name("out.jsonl")
    done = call("data", "convert", file, "-o", output, *form.options)
    if form.refused:
        return _refusal(form, done.errors)
    if done.code or form.unread not in done.errors:
        return f"wrong: {done}"
    (record,) = map(json.loads, output.read_text().split("\n")[:-1])
    turns = tuple((turn["role"], turn["content"]) for turn in record["messages"])
    skipped = tuple(turn["content"] for turn in record["messages"] if turn.get("weight") == 0)
    others = {key: record.get(key) for key in form.more}
    right = (turns, skipped, others) == (form.turns, form.untrained, form.more)
    return "right" if right else f"wrong: {record}"


def _preview(form: Form, file: Path) -> str:
    done = call("data", "preview", file, "--max-length", 200_000, *form.options)
    if form.refused:
        return _refusal(form, done.out)
    shown = "".join(done.out.split())
    for role, text in form.turns:
        trained = role == "assistant" and text not in form.untrained
        words = "".join(text.split())
        if (f"[{words}" if trained else words) not in shown:
            return f"wrong: {done}"
        if not trained and f"[{words}" in shown:
            return f"wrong, trained: {done}"
    return "right"


def _finetune(form: Form, file: Path) -> str:
    options = ("--preset", "cpu-try", "--max-length", 200_000, "--hold-out", 0, "--dry-run")
    done = call("finetune", "--data", file, "-o", file.parent, *options, "--json", *form.options)
    if form.refused:
        return _refusal(form, done.errors)
    if done.code:
        return f"wrong: {done}"
    counts = json.loads(done.out)["tokens"]
    answers = [text for role, text in form.turns if role == "assistant"]
    trained = sum(count_tokens(text) for text in answers if text not in form.untrained)
    return "right" if counts["trained"] == trained else f"wrong: {counts}, not {trained}"


def count_tokens(answer: str) -> int:
    """Tokens of an answer of SmolLM2 with its end."""
    tokenizer, end = _open_tokenizer()
    return len(tokenizer(answer)) + end


def _open_tokenizer() -> tuple[Callable[[str], list[int]], int]:
    if not _OPENED:
        from baize_train.cli.bases import find_base
        from baize_train.tokens.vocabulary import open_vocabulary

        model = _OPEN.enter_context(open_vocabulary(find_base("smollm2-135m", "tokenize")))
        _OPENED.append(lambda text: model.vocabulary.tokenize(text.strip()))
    return _OPENED[0], 1


_OPEN = contextlib.ExitStack()
_OPENED: list[Callable[[str], list[int]]] = []


def _refusal(form: Form, text: str) -> str:
    line = next(
        (line for line in text.splitlines() if f"data{form.suffix}:{form.line}:" in line), ""
    )
    return "refused" if form.refused in line else f"wrong, not refused: {text}"


_CHECKS = {"validate": _validate, "convert": _convert, "preview": _preview, "finetune": _finetune}


def rows() -> Iterator[tuple[Form, list[str]]]:
    """The cells of each form."""
    for form in FORMS:
        with tempfile.TemporaryDirectory() as folder:
            yield form, [run_form(form, command, Path(folder)) for command in COMMANDS]


def page(cells: list[tuple[Form, list[str]]]) -> str:
    """The page for the documentation."""
    lines = [
        "# What data baize-train reads",
        "",
        "Made by `python -m tests.train.input_formats`: each form of data goes through each",
        "command. *Right* means exactly the expected turns, and the expected tokens trained.",
        "*Refused* means that the command names the line and this reason, and goes on with the",
        "other records.",
        "",
        f"| Data | {' | '.join(COMMANDS)} | Reason |",
        f"|---|{'---|' * (len(COMMANDS) + 1)}",
    ]
    for form, results in cells:
        lines.append(f"| {form.name} | {' | '.join(results)} | {form.refused} |")
    return "\n".join([*lines, ""])


def main() -> None:
    cells = list(rows())
    PAGE.write_text(page(cells))
    wrong = [f"{form.name}: {cell}" for form, row in cells for cell in row if "wrong" in cell]
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
