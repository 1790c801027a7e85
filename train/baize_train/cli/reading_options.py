"""The option that says where the parts of a dialogue are, for every command that reads corpora."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from baize_shared.typed_text import typed_text
from baize_train.corpus.dialogues import Dialogue
from baize_train.corpus.reading import read_dialogues
from baize_train.corpus.record_formats import MAP_ROLES, read_field_map


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How records are read."""

    map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=FIELD",
            help=f"The field of a part, where ROLE is one of {', '.join(MAP_ROLES)}.",
            parser=typed_text,
        ),
    ] = None

    @property
    def fields(self) -> dict[str, str]:
        """The fields by their roles.

        Raises:
            TrainError: an argument has another form.
        """
        return read_field_map(self.map or [])

    def read(
        self, files: Iterable[Path], invalid: Counter[str] | None = None
    ) -> Iterator[Dialogue]:
        """The dialogues in ``files``; see ``read_dialogues``."""
        return read_dialogues(files, invalid, self.fields)
