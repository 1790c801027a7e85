"""``baize-tui bench``: how fast this machine answers, in ratios that can be compared."""

from __future__ import annotations

import asyncio
import platform
from dataclasses import dataclass
from pathlib import Path

from baize_shared.commands import DONE
from baize_shared.printing import ProgressLine, print_json, print_line
from baize_shared.progress import TimeLeft, progress_text
from baize_shared.usable_cpus import usable_cpus
from baize_tui import __version__
from baize_tui.bench.home import temporary_home
from baize_tui.bench.lengths import NORMAL, QUICK
from baize_tui.bench.machine import processor_name
from baize_tui.bench.run import run_bench
from baize_tui.bench.screen import kill_clients
from baize_tui.bench.subject import Subject
from baize_tui.catalog.finding import find_model, local_file
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.identity import model_sha256
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.cli.bench_output import Report, report_json, report_lines
from baize_tui.cli.output import progress_line, tell, warn_about_encoding
from baize_tui.engine.client import kill_workers
from baize_tui.engine.threads.cores import most_threads
from baize_tui.exit_watch import ExitWatch
from baize_tui.measures import left_text
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import ModelSettings, load_settings


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The options of ``bench``."""

    model: str | None = None
    """None for the default model."""
    quick: bool = False
    """One round of short texts."""
    json: bool = False


def bench(options: BenchOptions) -> int:
    """Measure and print; the exit code.

    Raises:
        SettingsError, CatalogError, EngineFailure, BenchError: as their messages say.
    """
    paths = project_paths()
    settings = load_settings(paths.settings_file).model
    model = find_model(options.model or settings.default, paths)
    file = local_file(model)
    warn_about_encoding()
    with ExitWatch() as exit_watch, progress_line() as progress:
        report = _measure(model, file, settings, paths, options, exit_watch, progress)
    if options.json:
        print_json(report_json(report))
    else:
        for line in report_lines(report):
            print_line(line)
    return DONE


def _measure(
    model: CatalogModel,
    file: Path,
    settings: ModelSettings,
    paths: Paths,
    options: BenchOptions,
    exit_watch: ExitWatch,
    progress: ProgressLine,
) -> Report:
    left = TimeLeft()

    def show(what: str, done: float) -> None:
        progress.show(progress_text(what, done, left=left_text(left, done) if done else ""))

    def tell_notice(notice: str) -> None:
        progress.clear()
        tell(notice)

    with temporary_home(paths) as home:
        # In this order: the folder is removed last.
        exit_watch.at_exit(home.remove)
        exit_watch.at_exit(kill_workers)
        exit_watch.at_exit(kill_clients)
        # Else the client does it while it answers.
        model_sha256(file, home.paths.cache)
        subject = Subject(
            path=file,
            recipe_format=model.recipe.format,
            settings=settings,
            home=home,
            logs=paths.logs,
            on_notice=tell_notice,
        )
        effort = QUICK if options.quick else NORMAL
        results = asyncio.run(run_bench(subject, effort, show))
    return Report(
        baize_tui=__version__,
        system=f"{platform.system()} {platform.machine()}",
        processor=processor_name(),
        fast_cores=most_threads(),
        processors=usable_cpus(),
        memory=this_machine(paths.models_folder).memory_total,
        model=model.name,
        results=results,
    )
