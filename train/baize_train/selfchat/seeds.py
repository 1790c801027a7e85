"""The seeds that a command line names, from any source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from baize_train.corpus.datasets import is_dataset
from baize_train.corpus.dialogues import Dialogue, dialogue_id
from baize_train.corpus.duplicates import SeenTexts
from baize_train.errors import TrainError
from baize_train.selfchat.dataset_seeds import read_dataset_seeds
from baize_train.selfchat.domain_seeds import DOMAIN_PREFIX, domain_questions
from baize_train.selfchat.seed_files import read_seed_file


def read_seeds(source: str, column: str | None = None) -> Iterable[str]:
    """The seeds of a file, a dataset, or a domain.

    Raises:
        TrainError: there is no such source, or it is invalid.
    """
    if source.startswith(DOMAIN_PREFIX):
        return domain_questions(source)
    if is_dataset(source):
        return read_dataset_seeds(source, column)
    return read_seed_file(Path(source), column)


def are_domains(sources: Sequence[str]) -> bool:
    """Whether every source is a domain."""
    return all(source.startswith(DOMAIN_PREFIX) for source in sources)


def drop_repeated_seeds(seeds: Iterable[str], similarity: float = 0.8) -> tuple[list[str], int]:
    """The seeds that do not repeat an earlier one, and how many do.

    Raises:
        TrainError: there are no seeds.
    """
    seen, kept, count = SeenTexts(similarity), [], 0
    for seed in seeds:
        count += 1
        if seen.add(seed):
            kept.append(seed)
    if not kept:
        raise TrainError("there are no seeds: give a file with one on each line")
    return kept, count - len(kept)


def read_dialogues_to_rewrite(
    sources: Sequence[str], read: Callable[[Path], Iterable[Dialogue]]
) -> tuple[dict[str, Dialogue], int]:
    """The dialogues of corpora by names of their own, and how many repeat an earlier one.

    The name is the id, with more behind it where another dialogue has the same. Dialogues without
    turns are left out.

    Raises:
        TrainError: a file is not a corpus, or has no dialogue.
    """
    originals: dict[str, Dialogue] = {}
    repeated = 0
    for source in sources:
        dialogues = [dialogue for dialogue in read(Path(source)) if dialogue.messages]
        if not dialogues:
            raise TrainError(f"{source} has no dialogues")
        for dialogue in dialogues:
            name = dialogue.id
            if name in originals and originals[name].messages != dialogue.messages:
                name = f"{name} {dialogue_id(dialogue.messages)}"
            repeated += name in originals
            originals.setdefault(name, dialogue)
    return originals, repeated


def read_personas(file: Path) -> list[str]:
    """Persons who may ask, one on each line.

    Raises:
        TrainError: the file cannot be read, or is empty.
    """
    personas = list(read_seed_file(file))
    if not personas:
        raise TrainError(f"{file} has no personas: write one on each line")
    return personas
