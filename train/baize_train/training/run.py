"""One run: its data, its settings, its length and its output folder. Needs no PyTorch."""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from baize_shared.counts import count_text
from baize_shared.trained_prompt import NewToken, TrainedPrompt
from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.corpus.reading import NO_MAP, read_dialogues
from baize_train.corpus.record_formats import FieldMap
from baize_train.errors import TrainError, warn
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.token_sets import TokenSet, tokenize
from baize_train.tokens.vocabulary import open_vocabulary
from baize_train.training.base_model import Quantization
from baize_train.training.checkpoints import (
    CHECKPOINTS,
    RESULTS,
    WEIGHTS,
    kept_weights,
    last_checkpoint,
)
from baize_train.training.folder_lock import locked_folder
from baize_train.training.kernels import NO_KERNELS, Kernels
from baize_train.training.presets import ADDED_LATER, LORA_SETTINGS, Preset, PresetName
from baize_train.training.processes import is_main_process
from baize_train.training.reporting import ReportTarget
from baize_train.training.run_manifest import (
    DataFile,
    RunManifest,
    read_manifest,
    sha256_digest,
    write_manifest,
)
from baize_tui.engine.llama.model import Model


class TrainingData(Struct, frozen=True):
    """Dialogues and the files they come from."""

    dialogues: list[Dialogue] = []
    files: list[DataFile] = []


class Evaluations(Struct, frozen=True):
    """When the held-out loss is measured, and what follows from it."""

    every: int | None = None
    """Steps between two of them; None is a fifth of the run."""
    keep_best: bool = False
    """Keep the weights with the lowest loss instead of the last ones."""
    patience: int | None = None
    """Stop after so many evaluations in a row without a lower loss; None never stops."""
    questions: list[list[Turn]] = []
    """Dialogues that end with a question; the model answers them each time."""

    def interval(self, steps: int) -> int:
        """Steps between two evaluations of a run of ``steps`` steps."""
        return self.every or max(1, steps // 5)


class TrainingRun(Struct, frozen=True):
    """What to train, on what, and how."""

    base: Path
    data: TrainingData
    held_out: TrainingData
    output: Path
    """Folder of the adapter, or of the model."""
    preset_name: PresetName
    preset: Preset
    format: str | None = None
    """Prompt format; None is the model's own template."""
    system: str | None = None
    """System prompt; None is the chat client's."""
    steps: int | None = None
    """None is as many as the preset's epochs take."""
    seed: int = 0
    quantization: Quantization = "none"
    checkpointing: bool = False
    """Recompute activations instead of keeping them: slower, in less memory."""
    adapter: Path | None = None
    """An adapter to continue from, instead of a new one."""
    base_name: str = ""
    """What other programs know the base by, if not by its path."""
    new_tokens: tuple[NewToken, ...] = ()
    """Tokens that the base lacks: those of the preset, or those that ``adapter`` has already."""
    save_every: int | None = None
    """Steps between checkpoints; None chooses."""
    evaluations: Evaluations = Evaluations()
    kernels: Kernels = NO_KERNELS
    report_to: ReportTarget | None = None
    """Where losses are reported besides the manifest."""


class TokenizedData(NamedTuple):
    """The tokens of a run's dialogues."""

    train: TokenSet
    held_out: TokenSet
    prompt: TrainedPrompt


def read_training_data(files: Sequence[Path], fields: FieldMap = NO_MAP) -> TrainingData:
    """The dialogues of ``files``; invalid records are reported and skipped.

    Raises:
        TrainError: a file cannot be read.
    """
    dialogues: list[Dialogue] = []
    read: list[DataFile] = []
    for file in files:
        from_file = list(read_dialogues([file], fields=fields))
        dialogues += from_file
        read.append(DataFile(str(file), _digest(file, from_file), len(from_file)))
    return TrainingData(dialogues, read)


def _digest(file: Path, dialogues: Sequence[Dialogue]) -> str:
    """The SHA-256 of a file, or of the dialogues of a dataset."""
    if file.is_file():
        return sha256_digest(file)
    digest = hashlib.sha256()
    for dialogue in dialogues:
        digest.update(msgspec.json.encode(dialogue))
    return digest.hexdigest()


def tokenize_data(run: TrainingRun) -> TokenizedData:
    """The tokens to train on and those held out.

    Raises:
        TrainError: nothing is left to train on, or the base has no vocabulary or template.
    """
    with open_vocabulary(run.base, run.new_tokens) as model:
        format = choose_chat_format(model, run.format, run.system)
        tokenizer = DialogueTokenizer(model.vocabulary, format, run.preset.loss)
        train = tokenize(run.data.dialogues, tokenizer, run.preset.max_length)
        held_out = tokenize(run.held_out.dialogues, tokenizer, run.preset.max_length)
        _warn_of_context(train, model)
    if not train.dialogues:
        reasons = "; ".join(train.counts.left_out) or "there are none"
        raise TrainError(f"no dialogue can be trained on: {reasons}")
    if run.evaluations.keep_best and not held_out.dialogues:
        reasons = "; ".join(held_out.counts.left_out)
        raise TrainError(f"no held-out dialogue can tell which weights are best: {reasons}")
    prompt = TrainedPrompt(format.name, format.system, run.new_tokens)
    return TokenizedData(train, held_out, prompt)


def _warn_of_context(train: TokenSet, model: Model) -> None:
    """Say that dialogues have positions that the base has never seen. Those of packed dialogues
    begin anew with each of them."""
    known = model.metadata(f"{model.metadata('general.architecture')}.context_length")
    context = int(known) if known.isdecimal() else 0
    longer = sum(dialogue.length > context for dialogue in train.dialogues) if context else 0
    if longer and is_main_process():
        warn(
            f"{count_text(longer, 'dialogue')} longer than the context of the base: "
            f"--max-length {context} cuts them off there"
        )


def count_sequences(run: TrainingRun, train: TokenSet) -> int:
    """Rows of the training data, after packing."""
    lengths = [dialogue.length for dialogue in train.dialogues]
    return count_packed_rows(lengths, run.preset.max_length) if run.preset.packing else len(lengths)


def count_packed_rows(lengths: Sequence[int], max_length: int) -> int:
    """Rows into which TRL packs sequences: best fit, the longest first (``pack_dataset``, bfd)."""
    free: list[int] = []
    """What is left of each row, in order."""
    rows = 0
    for length in sorted(lengths, reverse=True):
        at = bisect.bisect_left(free, length)
        if at < len(free):
            left = free.pop(at)
        else:
            left, rows = max_length, rows + 1
        bisect.insort(free, left - length)
    return rows


def count_steps(run: TrainingRun, train: TokenSet) -> int:
    """Steps of the whole run."""
    return run.steps or count_epoch_steps(count_sequences(run, train), run.preset)


def count_epoch_steps(rows: int, preset: Preset) -> int:
    """Steps of all epochs over ``rows``. The last step of an epoch has what is left for it, as in
    ``Trainer.set_initial_training_values``."""
    return math.ceil(math.ceil(rows / preset.batch) * preset.epochs)


def weight_settings(run: TrainingRun, steps: int) -> dict[str, Any]:
    """All settings that affect the weights.

    The number of sequences that a device takes at once does not: a run that was out of memory
    resumes with fewer.
    """
    preset: dict[str, Any] = msgspec.to_builtins(run.preset)
    del preset["micro_batch"]
    # Runs of versions without these options can be resumed.
    usual = msgspec.to_builtins(Preset(""))
    for name in ADDED_LATER:
        if preset[name] == usual[name]:
            del preset[name]
    if run.preset.full:
        preset = {name: value for name, value in preset.items() if name not in LORA_SETTINGS}
    more: dict[str, Any] = {}
    if run.adapter is not None:
        digest = sha256_digest(run.adapter / WEIGHTS)
        more = {"continues": str(run.adapter), "continues_sha256": digest}
    if run.evaluations.keep_best:  # only then do evaluations affect the weights
        more["keep_best"] = True
        more["eval_every"] = run.evaluations.interval(steps)
        more["patience"] = run.evaluations.patience
    return {
        "preset": run.preset_name,
        **preset,
        "format": run.format,
        "system": run.system,
        "steps": steps,
        "seed": run.seed,
        "quantization": run.quantization,
        "held_out_dialogues": len(run.held_out.dialogues),
        **more,
    }


def refuse_other_output(output: Path) -> None:
    """Check that the folder ``output`` is that of a run, or one where nothing would be replaced.

    Raises:
        TrainError: it is not a folder, or another program's files are in it.
    """
    if output.exists() and not output.is_dir():
        raise TrainError(f"{output} is not a folder: choose another --output")
    if read_manifest(output) is not None:
        return
    kept = kept_weights(output)
    if kept or last_checkpoint(output / CHECKPOINTS) is not None:
        what = "another adapter" if kept.startswith("adapter") else "another model"
        raise TrainError(f"{output} contains {what}: choose another folder, or delete that one")
    if named := [name for name in RESULTS if (output / name).exists()]:
        raise TrainError(
            f"{output} contains {' and '.join(named)}, which the run would write over: choose "
            "another folder"
        )


@contextmanager
def claim_output(manifest: RunManifest, output: Path) -> Iterator[RunManifest | None]:
    """Reserve the folder ``output`` for the run while the block lasts; yields its manifest if it
    has finished already.

    Raises:
        TrainError: another process trains into the folder, or it contains another run; or see
            ``refuse_other_output``.
    """
    refuse_other_output(output)
    if not is_main_process():
        yield _finished_run(manifest, output)
        return
    with locked_folder(output):
        finished = _finished_run(manifest, output)
        if finished is None:
            write_manifest(manifest, output)
        yield finished


def _finished_run(manifest: RunManifest, output: Path) -> RunManifest | None:
    """The manifest in ``output`` if this run has finished; None if it can begin or resume.

    Raises:
        TrainError: the folder contains another run.
    """
    existing = read_manifest(output)
    if existing is not None and existing.is_same_run(manifest):
        return existing if existing.finished else None
    if kept_weights(output) or last_checkpoint(output / CHECKPOINTS) is not None:
        raise TrainError(
            f"{output} contains a run with other data or settings: choose another folder, or "
            "delete that one"
        )
    return None
