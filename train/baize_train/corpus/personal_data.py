"""Mask personal data: e-mail and IP addresses, telephone, card and account numbers, keys.

The rules look at the form alone: a person's name in plain words is not found.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

import msgspec

from baize_train.corpus.dialogues import Dialogue, Turn, dialogue_id

PersonalData = Literal["KEY", "EMAIL", "ACCOUNT", "CARD", "ID", "IP", "PHONE"]
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


def _is_card_number(text: str) -> bool:
    """Whether the check digit of a card number is right (Luhn; ISO/IEC 7812-1, annex B)."""
    digits = [int(char) for char in text if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_host_address(text: str) -> bool:
    """Whether ``text`` is an IPv4 address other than loopback and 0.0.0.0/8."""
    parts = [int(part) for part in text.split(".")]
    return all(part <= 255 for part in parts) and parts[0] not in (0, 127)


def mask_text(text: str) -> tuple[str, Counter[PersonalData]]:
    """``text`` with ``[KIND]`` in place of personal data, and how many of each kind there were."""
    counts: Counter[PersonalData] = Counter()

    def mask(kind: PersonalData) -> str:
        counts[kind] += 1
        return f"[{kind}]"

    text = _KEY.sub(lambda match: mask("KEY"), text)
    text = _EMAIL.sub(lambda match: mask("EMAIL"), text)
    text = _IBAN.sub(lambda match: mask("ACCOUNT"), text)
    text = _CARD.sub(lambda match: mask("CARD") if _is_card_number(match[0]) else match[0], text)
    text = _SSN.sub(lambda match: mask("ID"), text)
    text = _IP.sub(lambda match: mask("IP") if _is_host_address(match[0]) else match[0], text)
    text = _PHONE.sub(lambda match: mask("PHONE"), text)
    return text, counts


def mask_dialogue(dialogue: Dialogue) -> tuple[Dialogue, Counter[PersonalData]]:
    """``dialogue`` with all its turns masked, and the counts; a changed dialogue gets a new id."""
    total: Counter[PersonalData] = Counter()
    turns = []
    for turn in dialogue.messages:
        text, counts = mask_text(turn.content)
        total += counts
        turns.append(Turn(turn.role, text))
    if not total:
        return dialogue, total
    return msgspec.structs.replace(dialogue, messages=turns, id=dialogue_id(turns)), total
