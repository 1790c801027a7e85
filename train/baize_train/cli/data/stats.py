"""``baize-train data stats``: dialogues, turns and lengths of corpora."""

from __future__ import annotations

from dataclasses import dataclass

from baize_train.cli import flags
from baize_train.cli.output.corpora import print_statistics
from baize_train.cli.reading_options import ReadingOptions
from baize_train.corpus.statistics import measure_corpus


@dataclass(frozen=True, kw_only=True)
class StatsOptions(ReadingOptions):
    """Options of ``baize-train data stats``."""

    files: flags.CorpusFiles
    json: flags.Json = False


def run_stats(options: StatsOptions) -> None:
    """Measure each corpus and print a table."""
    names = [file.name for file in options.files]
    statistics = {
        # Each by its name alone, unless another one has it too: every project has a train.jsonl.
        file.name if names.count(file.name) == 1 else str(file): measure_corpus(
            options.read([file])
        )
        for file in options.files
    }
    print_statistics(statistics, json=options.json)
