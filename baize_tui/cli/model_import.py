"""``baize-tui models import``: add a model or an adapter of one's own under a name."""

from __future__ import annotations

import asyncio
from pathlib import Path

from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.importing import Wish, import_file
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.chat.formats import format_named
from baize_tui.cli.output import progress_line, tell
from baize_tui.engine.client import WorkerEngine
from baize_tui.paths import project_paths


def import_model(file: Path, options: Wish) -> None:
    """Check that the model in ``file`` works, add it, and say how to use it."""
    if options.format is not None:
        format_named(options.format)  # an unknown format fails here
    imported = asyncio.run(_check_and_add(file, options))
    if isinstance(imported, CatalogModel):
        tell(f"{imported.name} is ready: baize-tui --model {imported.name}")
    else:
        name = imported.name
        tell(f"{name} is ready: baize-tui ask --adapter {name}, or F3 in the client")


async def _check_and_add(file: Path, options: Wish) -> CatalogModel | CatalogAdapter:
    paths = project_paths()
    engine = WorkerEngine(paths, tell)
    with progress_line() as progress:
        engine.on_progress = lambda done: progress.show(f"trying {file.name} {done:.0%}")
        try:
            return await import_file(file, options, paths, engine)
        finally:
            progress.clear()
            await engine.close()
