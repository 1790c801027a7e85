"""Masks for what names a person: addresses, telephone and account numbers.

Rules of form alone, so that a name in plain words is not found; a person's own tools can follow.
"""

from __future__ import annotations

import re
from collections import Counter

import msgspec

from baize_train.corpus.dialogues import Dialogue, Turn, id_of

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?!\d|\.\d)")
_SSN = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")
_IP = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\d|\.\d)")
_PHONE = re.compile(
    r"(?<![\w.])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}|"
    r"\(\d{3}\) ?\d{3}-\d{4}|\d{3}[.-]\d{3}[.-]\d{4})(?!\w|\.\d)"
)
_KEY = re.compile(r"\b(?:sk|hf|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{16,}\b")


def _luhn(text: str) -> bool:
    """Whether the digits are a card's number (ISO/IEC 7812-1, annex B)."""
    digits = [int(char) for char in text if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_address(text: str) -> bool:
    parts = [int(part) for part in text.split(".")]
    return all(part <= 255 for part in parts) and parts[0] not in (0, 127)


def masked(text: str) -> tuple[str, Counter[str]]:
    """``text`` with a word in place of what names a person, and how much of each there was."""
    found: Counter[str] = Counter()

    def put(kind: str) -> str:
        found[kind] += 1
        return f"[{kind}]"

    text = _KEY.sub(lambda match: put("KEY"), text)
    text = _EMAIL.sub(lambda match: put("EMAIL"), text)
    text = _IBAN.sub(lambda match: put("ACCOUNT"), text)
    text = _CARD.sub(lambda match: put("CARD") if _luhn(match[0]) else match[0], text)
    text = _SSN.sub(lambda match: put("ID"), text)
    text = _IP.sub(lambda match: put("IP") if _is_address(match[0]) else match[0], text)
    text = _PHONE.sub(lambda match: put("PHONE"), text)
    return text, found


def masked_dialogue(dialogue: Dialogue) -> tuple[Dialogue, Counter[str]]:
    """``dialogue`` with all its turns masked; another id where something was."""
    total: Counter[str] = Counter()
    turns = []
    for turn in dialogue.messages:
        text, found = masked(turn.content)
        total += found
        turns.append(Turn(turn.role, text))
    if not total:
        return dialogue, total
    return msgspec.structs.replace(dialogue, messages=turns, id=id_of(turns)), total
