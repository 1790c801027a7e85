"""Mask personal data: e-mail and IP addresses, telephone, card and account numbers, keys.

The rules look at the form alone: a person's name in plain words is not found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from baize_train.corpus.dialogues import Dialogue, dialogue_id

PersonalData = Literal["KEY", "EMAIL", "ACCOUNT", "CARD", "ID", "IP", "PHONE"]
_EMAIL = re.compile(r"([\w.+-]+)@([\w-]+(?:\.[\w-]+)+)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?!\d|\.\d)")
_SSN = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")
_IP = re.compile(r"(?<![\d.\w])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_VERSION_BEFORE = re.compile(
    r"(?:\b(?:versions?|ver|v|release|build|firmware|driver|update|upgrade(?:d)?(?: to)?|section"
    r"|chapter|clause)[ .:]*|[\w)][/@]|[=<>~^]=? ?)$",
    re.IGNORECASE,
)
"""``version 1.2.3.4``, ``Chrome/120.0.0.0``, ``numpy==1.2.3.4``."""
_ADDRESS_BEFORE = re.compile(
    r"(?:\b(?:ips?|ipv4|address(?:es)?|hosts?|servers?|ping|ssh|from|to|at|dns|gateway|via|is)\b"
    r"[ :=]*|//|@)$",
    re.IGNORECASE,
)
_LARGEST_OF_A_VERSION = 31
_PHONE = re.compile(
    r"(?<![\w.])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}|"
    r"\(\d{3}\) ?\d{3}-\d{4}|\d{3}[.-]\d{3}[.-]\d{4})(?!\w|\.\d)"
)
_FEWEST_DIGITS = 8
"""Of a telephone number with its country's; ``+20000`` is a sum."""
_OURS = ("key", "settings")
"""Parts of ``meta`` that are written here: a collection finds its dialogues by the key."""
_KEY = re.compile(
    # Not in small letters alone, as ``hf_transfer_is_enabled`` is.
    r"\b(?:(?:sk|hf|ghp|gho|xox[abp])[-_](?=[a-z_-]*[A-Z0-9])[A-Za-z0-9_-]{16,}"
    r"|(?:github_pat_|glpat-)[A-Za-z0-9_-]{16,}|AKIA[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35})\b"
)


def _is_card_number(text: str) -> bool:
    """Whether the check digit of a card number is right (Luhn; ISO/IEC 7812-1, annex B)."""
    digits = [int(char) for char in text if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _account_length(text: str) -> int:
    """The length of the IBAN at the beginning of ``text``, words in capitals may follow; 0 if its
    check digits are wrong (ISO 13616: 1 modulo 97)."""
    for end in (len(text), *(at for at in range(len(text) - 1, 14, -1) if text[at] == " ")):
        plain = text[:end].replace(" ", "")
        if int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1:
            return end
    return 0


def _is_mail_address(match: re.Match[str]) -> bool:
    """Whether ``match`` is an address of a person: not ``react@18.2.0``, and not ``git@host``,
    which everybody clones from."""
    user, host = match.groups()
    parts = host.split(".")
    if not parts[-1].isdecimal():
        return bool(user != "git")
    numbers = [int(part) for part in parts if part.isdecimal()]
    return len(numbers) == len(parts) == 4 and _LARGEST_OF_A_VERSION < max(numbers) <= 255


def _is_phone(text: str) -> bool:
    return not text.startswith("+") or sum(map(str.isdecimal, text)) >= _FEWEST_DIGITS


def _is_host_address(match: re.Match[str]) -> bool:
    """Whether ``match`` is an IPv4 address other than loopback and 0.0.0.0/8, and no version.

    Four small numbers are an address only where the words before say so.
    """
    parts = [int(part) for part in match[0].split(".")]
    if any(part > 255 for part in parts) or parts[0] in (0, 127):
        return False
    before = match.string[max(0, match.start() - 24) : match.start()]
    if _VERSION_BEFORE.search(before) and not before.endswith("//"):
        return False
    is_small = all(part <= _LARGEST_OF_A_VERSION for part in parts)
    return not is_small or bool(_ADDRESS_BEFORE.search(before))


def mask_text(text: str) -> tuple[str, Counter[PersonalData]]:
    """``text`` with ``[KIND]`` in place of personal data, and how many of each kind there were."""
    counts: Counter[PersonalData] = Counter()

    def mask(kind: PersonalData) -> str:
        counts[kind] += 1
        return f"[{kind}]"

    def mask_account(match: re.Match[str]) -> str:
        length = _account_length(match[0])
        return mask("ACCOUNT") + match[0][length:] if length else match[0]

    text = _KEY.sub(lambda match: mask("KEY"), text)
    text = _EMAIL.sub(lambda match: mask("EMAIL") if _is_mail_address(match) else match[0], text)
    text = _IBAN.sub(mask_account, text)
    text = _CARD.sub(lambda match: mask("CARD") if _is_card_number(match[0]) else match[0], text)
    text = _SSN.sub(lambda match: mask("ID"), text)
    text = _IP.sub(lambda match: mask("IP") if _is_host_address(match) else match[0], text)
    text = _PHONE.sub(lambda match: mask("PHONE") if _is_phone(match[0]) else match[0], text)
    return text, counts


def mask_dialogue(dialogue: Dialogue) -> tuple[Dialogue, Counter[PersonalData]]:
    """``dialogue`` with all of its texts masked, the names in ``meta`` too, and the counts.

    A dialogue whose turns or id have personal data gets a new id.
    """
    total: Counter[PersonalData] = Counter()

    def mask(text: str) -> str:
        masked, counts = mask_text(text)
        total.update(counts)
        return masked

    turns = [
        msgspec.structs.replace(
            turn,
            content=mask(turn.content),
            name=mask(turn.name),
            reasoning_content=mask(turn.reasoning_content),
        )
        for turn in dialogue.messages
    ]
    is_id_private = bool(mask_text(dialogue.id)[1])
    changed = msgspec.structs.replace(
        dialogue,
        messages=turns,
        topic=mask(dialogue.topic),
        source=mask(dialogue.source),
        meta={
            **{key: value for key, value in dialogue.meta.items() if key in _OURS},
            **_mask_values({k: v for k, v in dialogue.meta.items() if k not in _OURS}, mask),
        },
    )
    if turns != dialogue.messages or is_id_private:
        mask(dialogue.id)
        changed = msgspec.structs.replace(changed, id=dialogue_id(turns))
    return (changed if total else dialogue), total


def _mask_value(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_mask_value(item, mask) for item in value]
    if isinstance(value, dict):
        return _mask_values(value, mask)
    return value


def _mask_values(values: dict[str, Any], mask: Callable[[str], str]) -> dict[str, Any]:
    """``values`` with all masked; names that become the same are numbered."""
    masked: dict[str, Any] = {}
    for key, value in values.items():
        name = first = mask(key)
        while name in masked:
            name = f"{first} {len(masked) + 1}"
        masked[name] = _mask_value(value, mask)
    return masked
