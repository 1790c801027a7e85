"""Flags of the commands that train, and how they become a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from baize_shared.progress import TimeLeft, bar
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.mixing import split
from baize_train.corpus.reading import Unreadable, read_corpus
from baize_train.errors import TrainError
from baize_train.training.presets import PRESETS, Preset
from baize_train.training.processes import is_alone

if TYPE_CHECKING:
    from baize_train.training.finetune import Corpus
    from baize_train.training.run_manifest import LossPoint
    from baize_train.training.trainers import Progress

_SHOWN = 5

Base = Annotated[
    str, typer.Option(help="A model's name, a GGUF, a Hugging Face folder, or hf:owner/name.")
]
Data = Annotated[list[Path], typer.Option("--data", help="A corpus; may be repeated.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The folder of the adapter.")]
PresetName = Annotated[str, typer.Option("--preset", help=f"One of {', '.join(PRESETS)}.")]
Format = Annotated[
    str | None, typer.Option("--format", help="Prompt format; else the model's own template.")
]
System = Annotated[
    str | None, typer.Option(help="What the model is told; else what the chat client tells it.")
]
Seed = Annotated[int, typer.Option(help="The same seed, the same run.")]
Checkpointing = Annotated[
    bool, typer.Option("--checkpointing", help="Less memory, about a fifth slower.")
]
Rank = Annotated[int | None, typer.Option(min=1)]
Rate = Annotated[float | None, typer.Option("--learning-rate", min=0.0)]
Batch = Annotated[int | None, typer.Option(min=1, help="Sequences of a step.")]
MicroBatch = Annotated[int | None, typer.Option(min=1, help="Sequences at once on a device.")]
Length = Annotated[int | None, typer.Option("--max-length", min=16, help="Tokens of a sequence.")]
Epochs = Annotated[float | None, typer.Option(min=0.0)]
StepCount = Annotated[int | None, typer.Option("--steps", min=1, help="Instead of epochs.")]
SaveEvery = Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")]


def need_training() -> None:
    """Say what to install where PyTorch and its friends are not here.

    Raises:
        TrainError: they are not.
    """
    missing = [
        name for name in ("torch", "transformers", "peft", "trl", "datasets") if not find_spec(name)
    ]
    if missing:
        raise TrainError(
            f"training needs {', '.join(missing)}: install PyTorch for your machine, then "
            "pip install 'baize-tui[train]'"
        )


def no_bars_of_libraries() -> None:
    """They would stand amid ours. tqdm looks at this when it is imported: call it first."""
    os.environ["TQDM_DISABLE"] = "1"


def need_one_process() -> None:
    """Refuse to be one of several: all would ask and write the same.

    Raises:
        TrainError: there are several.
    """
    if not is_alone():
        raise TrainError("sdf asks and trains in one process: start it without a launcher")


def quiet_libraries() -> None:
    """Keep the libraries of training to themselves: what a person has to know is told here."""
    import logging
    import warnings

    import datasets
    import transformers
    from huggingface_hub import constants

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for name in ("trl", "peft", "accelerate", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning)
    # All that a run needs is on this machine by now; PEFT would ask the hub at each checkpoint.
    constants.HF_HUB_OFFLINE = True
    os.environ["HF_HUB_OFFLINE"] = "1"


def preset_named(name: str, **changes: Any) -> Preset:
    """The preset with what the command line says otherwise.

    Raises:
        TrainError: there is none of this name.
    """
    if name not in PRESETS:
        raise TrainError(f"no preset is called {name!r}; known: {', '.join(PRESETS)}")
    said = {key: value for key, value in changes.items() if value is not None}
    preset = msgspec.structs.replace(PRESETS[name], **said)
    if preset.micro_batch > preset.batch:
        preset = msgspec.structs.replace(preset, micro_batch=preset.batch)
    return preset


def corpora(
    data: Sequence[Path], evaluation: Sequence[Path], part: float, seed: int
) -> tuple[Corpus, Corpus]:
    """What to train on and what is held out, out of ``evaluation`` or as a part of the data.

    Raises:
        TrainError: a file cannot be read.
    """
    from baize_train.training.finetune import Corpus, read_corpus_files

    train = read_corpus_files([(file, dialogues_of(file)) for file in data])
    if evaluation:
        return train, read_corpus_files([(file, dialogues_of(file)) for file in evaluation])
    kept, held_out = split(train.dialogues, part, seed)
    return Corpus(kept, train.files), Corpus(held_out, [])


def dialogues_of(file: Path) -> list[Dialogue]:
    """The dialogues in a file; what is none is told and left out.

    Raises:
        TrainError: the file cannot be read.
    """
    found: list[Dialogue] = []
    told = 0
    for one in read_corpus(file):
        if isinstance(one, Unreadable):
            told += 1
            if told <= _SHOWN:
                print(f"baize-train: {one.place}: {one.why}; left out", file=sys.stderr)
        else:
            found.append(one)
    if told > _SHOWN:
        print(f"baize-train: {told - _SHOWN} more were left out", file=sys.stderr)
    return found


class StepLine:
    """How far a run is: a line for each step on a terminal, one for each tenth elsewhere."""

    def __init__(self) -> None:
        self._left = TimeLeft()
        self._told = -1

    def __call__(self, progress: Progress, losses: list[LossPoint]) -> None:
        trained = [point.loss for point in losses if not point.held_out]
        loss = f" · loss {trained[-1]:.3f}" if trained else ""
        done = progress.step / progress.of
        line = f"{bar(done)} step {progress.step} of {progress.of}{loss}"
        self._told = _show_line(line, done, self._left, self._told)


class CountLine:
    """How many of a number of things are done: one line on a terminal, each tenth elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._left = TimeLeft()
        self._told = -1

    def __call__(self, done: int, of: int) -> None:
        self._told = _show_line(
            f"{bar(done / of)} {done} of {of} {self._what}", done / of, self._left, self._told
        )


def _show_line(line: str, done: float, time_left: TimeLeft, told: int) -> int:
    """Show ``line``; returns the tenth that was told last."""
    left = time_left.after(done)
    line = f"{line} · {left}" if left else line
    tenth = int(done * 10)
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}" if done < 1 else "\r\x1b[K")
        sys.stderr.flush()
    elif tenth > told:
        print(line, file=sys.stderr, flush=True)
    return max(told, tenth)
