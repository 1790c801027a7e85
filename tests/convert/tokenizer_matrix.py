"""Tries every tokenizer family with every variant, and writes docs/tokenizers.md.

A cell is "exact" if llama.cpp gives all texts of the check the tokens of the source's tokenizer, or
says by name what is refused::

    python -m tests.convert.tokenizer_matrix [FAMILY]...
"""

from __future__ import annotations

import copy
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.output.vocabulary_file import write_vocabulary
from baize_convert.parity.check import TokenizerDiffers, check_tokenizer
from baize_convert.parity.tokenizers import TokenizerComparison
from baize_convert.vocabulary.tokenizer_kind import Limit
from tests.convert.tokenizer_families import (
    FAMILIES,
    Family,
    Json,
    added_token,
    make_folder,
    make_tokenizer,
    template_processing,
)

PAGE = Path(__file__).parents[2] / "docs" / "tokenizers.md"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}<|im_start|>assistant\n"
)


@dataclass(frozen=True)
class Variant:
    """A change to a tokenizer that people make."""

    name: str
    change: Callable[[Family, Json, Json], None] = lambda family, tokenizer, settings: None
    """Changes the ``tokenizer.json`` and the ``tokenizer_config.json``."""
    extra: int = 0
    """Rows of the model without a token."""


def next_id(tokenizer: Json) -> int:
    ids: list[int] = [token["id"] for token in tokenizer["added_tokens"]]
    ids += tokenizer["model"]["vocab"].values()
    return max(ids) + 1


def add_words(family: Family, tokenizer: Json, settings: Json) -> None:
    """As ``tokenizer.add_tokens`` does."""
    for word in ("<mine>", "白泽先生", "snake_case_word"):
        id = next_id(tokenizer)
        tokenizer["added_tokens"].append(added_token(id, word, special=False, normalized=True))


def add_turns(family: Family, tokenizer: Json, settings: Json) -> None:
    """ChatML's special tokens, a padding token, and a template with them."""
    for token in ("<|im_start|>", "<|im_end|>", "[PAD]"):
        if all(token != known["content"] for known in tokenizer["added_tokens"]):
            added = added_token(next_id(tokenizer), token, special=True)
            tokenizer["added_tokens"].append(added)
    settings |= {"eos_token": "<|im_end|>", "pad_token": "[PAD]", "chat_template": CHATML}


def add_greedy_words(family: Family, tokenizer: Json, settings: Json) -> None:
    for flag in ("lstrip", "rstrip", "single_word"):
        id = next_id(tokenizer)
        added = added_token(id, f"<{flag}>", special=False, **{flag: True})
        tokenizer["added_tokens"].append(added)


def without_begin(family: Family, tokenizer: Json, settings: Json) -> None:
    tokenizer["post_processor"] = None
    if family.files == "model":
        settings["add_bos_token"] = False


def with_begin_and_end(family: Family, tokenizer: Json, settings: Json) -> None:
    ids = dict(tokenizer["model"]["vocab"])
    ids |= {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    begin, end = family.bos or family.eos, family.eos
    assert begin is not None
    assert end is not None
    tokenizer["post_processor"] = template_processing((begin, ids[begin]), (end, ids[end]))
    if family.files == "model":
        settings |= {"add_bos_token": True, "add_eos_token": True}


def by_settings(family: Family, tokenizer: Json, settings: Json) -> None:
    """transformers 5 reads these two only without a ``tokenizer.json``."""
    settings |= {"add_bos_token": False, "add_eos_token": True}


VARIANTS = (
    Variant("as it is"),
    Variant("added words", add_words),
    Variant("ChatML's tokens", add_turns),
    Variant("lstrip, rstrip, single_word", add_greedy_words),
    Variant("no BOS", without_begin),
    Variant("BOS and EOS", with_begin_and_end),
    Variant("add_eos_token", by_settings),
    Variant("resized by 64", extra=64),
)

BASE = FAMILIES[[family.name for family in FAMILIES].index("GPT-2")]
SPM_BASE = FAMILIES[0]
Change = Callable[[Json], None]


def _set(part: str, value: object) -> Change:
    def change(tokenizer: Json) -> None:
        tokenizer[part] = value

    return change


def _flag(name: str, value: object) -> Change:
    def change(tokenizer: Json) -> None:
        tokenizer["model"][name] = value

    return change


def _step(step: Json) -> Change:
    def change(tokenizer: Json) -> None:
        usual = tokenizer["pre_tokenizer"]
        tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [step, usual]}

    return change


def _isolate(pattern: Json) -> Json:
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


_PREFIX = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
STEPS: tuple[tuple[str, Family, Change], ...] = (
    ("normalizer NFC", BASE, _set("normalizer", {"type": "NFC"})),
    ("normalizer NFKC", BASE, _set("normalizer", {"type": "NFKC"})),
    ("normalizer Lowercase", BASE, _set("normalizer", {"type": "Lowercase"})),
    (
        "normalizer Strip",
        BASE,
        _set("normalizer", {"type": "Strip", "strip_left": True, "strip_right": True}),
    ),
    ("normalizer Prepend", BASE, _set("normalizer", {"type": "Prepend", "prepend": " "})),
    (
        "normalizer Replace",
        BASE,
        _set("normalizer", {"type": "Replace", "pattern": {"String": "’"}, "content": "'"}),
    ),
    ("ByteLevel with add_prefix_space", BASE, _set("pre_tokenizer", _PREFIX)),
    ("Split at a literal String", BASE, _step(_isolate({"String": "~~"}))),
    ("Split at another Regex", BASE, _step(_isolate({"Regex": "TODO"}))),
    ("Split that changes nothing", BASE, _step(_isolate({"Regex": r"(?=\p{L})(?!\p{L})"}))),
    ("Punctuation", BASE, _step({"type": "Punctuation", "behavior": "Isolated"})),
    ("dropout", BASE, _flag("dropout", 0.1)),
    ("end_of_word_suffix", BASE, _flag("end_of_word_suffix", "</w>")),
    ("decoder WordPiece", BASE, _set("decoder", {"type": "WordPiece", "prefix": "##"})),
    ("SentencePiece, NFKC", SPM_BASE, _set("normalizer", {"type": "NFKC"})),
    ("SentencePiece, spaces not written", SPM_BASE, _set("normalizer", None)),
    (
        "SentencePiece, Metaspace that splits",
        SPM_BASE,
        lambda tokenizer: tokenizer.update(
            normalizer=None,
            pre_tokenizer={
                "type": "Metaspace",
                "replacement": "▁",
                "prepend_scheme": "always",
                "split": True,
            },
        ),
    ),
)


@dataclass(frozen=True)
class Cell:
    """What comes of a tokenizer: exact but for ``limits``, or refused with a reason."""

    refused: str = ""
    limits: tuple[Limit, ...] = ()
    difference: TokenizerComparison | None = None

    def __str__(self) -> str:
        if self.refused:
            return f"refused: {self.refused}"
        if self.difference is not None:
            return f"WRONG: {self.difference.differences[0]}"
        names = ", ".join(limit.name.lower() for limit in self.limits)
        return f"exact ({names})" if names else "exact"


def try_variant(family: Family, variant: Variant, work: Path) -> Cell:
    """Make the tokenizer in ``work``, and compare what llama.cpp makes of it."""
    tokenizer, settings = make_tokenizer(family), Json()
    variant.change(family, tokenizer, settings)
    return _try(make_folder(work / "model", family, tokenizer, settings, extra=variant.extra), work)


def try_step(family: Family, change: Change, work: Path) -> Cell:
    """The same for one step that is another than the family's."""
    tokenizer = copy.deepcopy(make_tokenizer(family))
    change(tokenizer)
    return _try(make_folder(work / "model", family, tokenizer), work)


def _try(folder: Path, work: Path) -> Cell:
    try:
        write_vocabulary(folder, work / "vocabulary.gguf")
        compared = check_tokenizer(folder, work / "vocabulary.gguf", vocabulary_hash=str(work))
    except TokenizerDiffers as error:
        return Cell(difference=error.comparison)
    except ConvertError as error:
        text = str(error).replace(f"{folder}/", "")
        start = "tokenizer.json: llama.cpp cannot do "
        return Cell(text.removeprefix(start).split(": texts would get")[0].split("; if you")[0])
    return Cell(limits=compared.limits)


def write_page(only: Sequence[str]) -> None:
    """Write both tables; with names of families, only their rows are tried again."""
    page = PAGE.read_text("utf-8")
    rows = table_rows(page, "families")
    for family in FAMILIES:
        if only and family.name not in only:
            continue
        cells = []
        for variant in VARIANTS:
            with tempfile.TemporaryDirectory() as work:
                cells.append(str(try_variant(family, variant, Path(work))))
        rows[family.name] = cells
        print(family.name, cells, flush=True)
    names = [variant.name for variant in VARIANTS]
    order = {family.name: rows[family.name] for family in FAMILIES if family.name in rows}
    page = _with_table(page, "families", ["Tokenizer", *names], order)
    if not only:
        steps = {}
        for name, family, change in STEPS:
            with tempfile.TemporaryDirectory() as work:
                steps[name] = [_escaped(str(try_step(family, change, Path(work))))]
            print(name, steps[name], flush=True)
        page = _with_table(page, "steps", ["Step", "Result"], steps)
    notes = "\n".join(f"- `{limit.name.lower()}`: {limit.value}." for limit in Limit)
    PAGE.write_text(_replaced(page, "limits", notes), "utf-8")


def table_rows(page: str, name: str) -> dict[str, list[str]]:
    """The cells of a table of the page, by the first cell of their row."""
    body = page.split(f"<!-- {name} -->")[1].split("<!-- end -->")[0]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in body.strip().splitlines()[2:]]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells}


def _with_table(
    page: str, name: str, head: Sequence[str], rows: Mapping[str, Sequence[str]]
) -> str:
    lines = [head, ["---"] * len(head), *([first, *rest] for first, rest in rows.items())]
    return _replaced(page, name, "\n".join(f"| {' | '.join(line)} |" for line in lines))


def _replaced(page: str, name: str, text: str) -> str:
    before, after = page.split(f"<!-- {name} -->")
    return f"{before}<!-- {name} -->\n{text}\n<!-- end -->{after.split('<!-- end -->', 1)[1]}"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    write_page(sys.argv[1:])
