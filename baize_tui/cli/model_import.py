"""``baize-tui models import``: add a model or an adapter of one's own under a name."""

from __future__ import annotations

import asyncio
from pathlib import Path

from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.importing import ImportOptions, import_file
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.chat.formats import format_named
from baize_tui.cli.failures import CommandError
from baize_tui.cli.model_default import ADAPTER_READY, make_default, tell_ready
from baize_tui.cli.output import progress_line, tell
from baize_tui.engine.client import WorkerEngine
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import load_settings
from baize_tui.translation import tr


def import_model(file: Path, options: ImportOptions, *, default: bool) -> None:
    """Check that the model in ``file`` works, add it, and say how to use it; with ``default`` it
    becomes the default model."""
    paths = project_paths()
    load_settings(paths.settings_file)  # invalid ones fail here
    if options.format is not None:
        format_named(options.format)  # an unknown format fails here
    imported = asyncio.run(_check_and_add(file, options, paths))
    if isinstance(imported, CatalogModel):
        if default:
            make_default(imported, paths)
        tell_ready(imported, paths)
        return
    name = imported.name
    tell(tr(ADAPTER_READY, name=name))
    if default:
        raise CommandError(tr("{name} is an adapter, and cannot be the default model", name=name))


async def _check_and_add(
    file: Path, options: ImportOptions, paths: Paths
) -> CatalogModel | CatalogAdapter:
    engine = WorkerEngine(paths, tell)
    with progress_line() as progress:
        engine.on_progress = lambda done: progress.show(
            tr("trying {file} {part}", file=file.name, part=f"{done:.0%}")
        )
        try:
            return await import_file(file, options, paths, engine)
        finally:
            progress.clear()
            await engine.close()
