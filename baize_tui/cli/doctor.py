"""``baize-tui doctor``: examines this machine, the models and the conversations."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from baize_shared.commands import DONE, FAILED
from baize_shared.printing import print_json, print_line, stdout_is_utf8
from baize_tui.catalog.adapters import broken_adapters
from baize_tui.catalog.finding import broken_models, find_model, known_models
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.store_thread import open_store
from baize_tui.cli.bug_report import check_is_new, write_bug_report
from baize_tui.cli.doctor_output import Findings, report_json, report_lines
from baize_tui.cli.engine_trial import try_engine
from baize_tui.cli.open_chat import MOVED
from baize_tui.cli.output import tell, warn_about_encoding
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import SettingsError, load_settings
from baize_tui.store.errors import StoreError
from baize_tui.translation import in_english, msg, tr

BUNDLE = msg("{file} has no conversations and no secrets; read it before you send it")


def doctor(*, json: bool, bundle: Path | None = None) -> int:
    """Print the findings; the exit code is 1 if there is a problem.

    With ``bundle``, they are also written to that file, with versions, settings and logs.

    Raises:
        CommandError: the file exists, or cannot be written.
    """
    paths = project_paths()
    if bundle is not None:
        check_is_new(bundle)
    # What is written to the file is for others.
    with in_english() if bundle is not None else contextlib.nullcontext():
        findings = asyncio.run(_examine(paths))
        report = report_json(findings, paths)
        if bundle is not None:
            write_bug_report(bundle, report, findings.settings, paths.logs)
        lines = list(report_lines(report))
    if bundle is not None:
        tell(tr(BUNDLE, file=bundle))
    if json:
        print_json(report)
    else:
        warn_about_encoding()
        for line in lines:
            print_line(line)
    return FAILED if findings.problems else DONE


async def _examine(paths: Paths) -> Findings:
    findings = Findings()
    problems = findings.problems
    try:
        findings.settings = load_settings(paths.settings_file)
    except SettingsError as error:
        problems.append(str(error))
    try:
        problems += [*broken_models(paths), *broken_adapters(paths)]
        findings.installed = [model.name for model in known_models(paths) if model.installed]
        findings.model = find_model(findings.settings.model.default, paths)
    except CatalogError as error:
        problems.append(str(error))
    findings.engine = await try_engine(paths, findings.model, findings.settings.model.threads)
    problems += findings.engine.problems
    try:
        with open_store(paths.conversations_file) as store:
            findings.conversations = len(await Conversations(store).list_all())
            if store.damaged_file is not None:
                problems.append(tr(MOVED, file=store.damaged_file))
            if store.why_read_only:
                problems.append(tr("nothing can be saved: {why}", why=store.why_read_only))
    except StoreError as error:
        problems.append(str(error))
    if not stdout_is_utf8():
        problems.append(tr("the locale is {encoding}, not UTF-8", encoding=sys.stdout.encoding))
    return findings
