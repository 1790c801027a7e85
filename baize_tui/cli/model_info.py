"""``baize-tui models info``: everything about one model or adapter."""

from __future__ import annotations

import asyncio
from pathlib import Path

from baize_shared.printing import print_json, print_line
from baize_tui.catalog.pull_records import read_record
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.cli.model_argument import default_model, find_model_or_adapter
from baize_tui.cli.model_output import info_json, info_lines, info_rows, is_default
from baize_tui.cli.output import tell, warn_about_encoding
from baize_tui.engine.client import WorkerEngine
from baize_tui.engine.protocol import GgufHeader
from baize_tui.paths import Paths, project_paths
from baize_tui.translation import msg, tr


def print_info(name: str, *, json: bool) -> None:
    """Print the recipe, header, licence and origin of a model, an adapter or a GGUF file."""
    paths = project_paths()
    entry = find_model_or_adapter(name, paths)
    header = asyncio.run(read_header(entry.path, paths)) if entry.path is not None else None
    record = read_record(entry.name, paths) if isinstance(entry, CatalogModel) else None
    if json:
        default = is_default(entry, default_model(paths))
        print_json({**info_json(entry, header, record), "default": default})
        return
    warn_about_encoding()
    rows = info_rows(entry, header, record)
    if is_default(entry, default_model(paths)):
        rows[msg("default")] = tr("yes: it answers in new conversations")
    for line in info_lines(rows):
        print_line(line)


async def read_header(path: Path, paths: Paths) -> GgufHeader:
    """The header of the GGUF at ``path``, which the engine's process reads."""
    engine = WorkerEngine(paths, tell)
    try:
        return await engine.inspect(str(path))
    finally:
        await engine.close()
