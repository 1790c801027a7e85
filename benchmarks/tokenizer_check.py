"""How long `baize-convert merge` takes to check a vocabulary, by its size::

    python -m tests.vocabularies
    python benchmarks/tokenizer_check.py

Each check is in a process of its own, because the libraries keep what they have read.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_convert.output.vocabulary_file import write_vocabulary
from baize_convert.parity.check import check_tokenizer
from tests.convert.tokenizer_families import FAMILIES, make_folder, make_tokenizer

NAMES = ("LLaMA 2, legacy", "Llama 3", "Command R", "Gemma")
RUNS = 5


def seconds_of_check(name: str) -> float:
    """Seconds that the check of the vocabulary of a family takes."""
    family = next(family for family in FAMILIES if family.name == name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = make_folder(Path(temporary) / "model", family, make_tokenizer(family))
        vocabulary = Path(temporary) / "vocabulary.gguf"
        write_vocabulary(folder, vocabulary)
        started = time.perf_counter()
        check = check_tokenizer(folder, vocabulary, vocabulary_hash="")
        seconds = time.perf_counter() - started
    assert not check.differences
    return seconds


def main() -> int:
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in NAMES:
            seconds = pool.map(seconds_of_check, [name] * RUNS, chunksize=1)
            print(f"{name:<16} {statistics.median(seconds):.2f} s (median of {RUNS})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
