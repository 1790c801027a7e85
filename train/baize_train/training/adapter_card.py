"""The card of an adapter or a model: what it is made of, for people and for the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from baize_convert.output.model_card import read_license
from baize_shared.atomic_files import write_atomically
from baize_shared.sanitizer import clean_line
from baize_train.errors import TrainError
from baize_train.training.run_manifest import RunManifest, best_step_text, held_out_text

CARD_FILE = "README.md"
_KINDS = {
    "finetune": "supervised fine-tuning on dialogues",
    "sdf": "self-distillation with feedback",
    "dpo": "DPO on pairs of answers",
    "kto": "KTO on answers marked as good or bad",
}
_LICENSE = re.compile(r"[\w.+-]+")
_SHOWN = ("rank", "alpha", "modules", "loss", "learning_rate", "schedule", "batch", "max_length")


def adapter_card(manifest: RunManifest, name: str) -> str:
    """The card as Markdown with the Hub's metadata in front."""
    base = clean_line(manifest.base)
    settings = manifest.settings
    losses = held_out_text(manifest) or "loss on held-out dialogues: not measured"
    kept = [] if manifest.best_step is None else [f"- {best_step_text(manifest)}"]
    data = [
        f"- {clean_line(file.path)}: {file.dialogues:,} dialogues, SHA-256 {file.sha256[:16]}"
        for file in manifest.data
    ]
    teachers = [f"- {clean_line(teacher)}" for teacher in manifest.teachers] or ["- not known"]
    full = bool(settings.get("full"))
    kind = "model" if full else "adapter"
    origin = f"A LoRA on {base}, made by {_KINDS[manifest.kind]}."
    if full:
        origin = f"A model made from {base} by supervised fine-tuning of all weights on dialogues."
    return "\n".join(
        [
            *_front_matter(manifest, full=full),
            "",
            f"# {clean_line(name)}",
            "",
            origin,
            "",
            "## Data",
            "",
            *data,
            "",
            "Written by:",
            "",
            *teachers,
            "",
            f"Their terms, and the licence of the base, apply to this {kind}.",
            "",
            "## Training",
            "",
            *(f"- {key}: {clean_line(str(settings[key]))}" for key in _SHOWN if key in settings),
            f"- {manifest.steps} steps, {manifest.trainable:,} parameters trained",
            f"- {losses}",
            *kept,
            *_new_tokens(settings),
            f"- {', '.join(f'{key} {version}' for key, version in manifest.versions.items())}",
            "",
            "`run.json` has all settings, `baize_prompt.json` the prompt format.",
            "",
        ]
    )


def _front_matter(manifest: RunManifest, *, full: bool) -> list[str]:
    """The metadata for the hub. A model names its licence, which the merge writes into the GGUF;
    that of an adapter is in the card of its base."""
    if not full:
        return ["---", "library_name: peft", "tags:", "- lora", "- baize-tui", "---"]
    license = read_license(Path(manifest.base))
    named = [f"license: {license}"] if _LICENSE.fullmatch(license) else []
    return ["---", "library_name: transformers", *named, "tags:", "- baize-tui", "---"]


def _new_tokens(settings: Mapping[str, Any]) -> Iterator[str]:
    """The tokens that were added, as code: they may look like Markdown."""
    for key, what in (("new_tokens", "words"), ("special_tokens", "special tokens")):
        if texts := settings.get(key):
            shown = ", ".join(f"`` {clean_line(text)} ``" for text in texts)
            yield f"- {what} added to the vocabulary: {shown}"


def write_model_card(manifest: RunManifest, folder: Path) -> None:
    """Replace PEFT's empty card in ``folder``.

    Raises:
        TrainError: it cannot be written.
    """
    try:
        card = adapter_card(manifest, folder.absolute().name)
        write_atomically(folder / CARD_FILE, card.encode())
    except OSError as error:
        raise TrainError(f"{folder / CARD_FILE}: {error.strerror}") from error
