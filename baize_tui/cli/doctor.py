"""``baize-tui doctor``: what this machine offers, and where everything lies."""

from __future__ import annotations

import asyncio
import locale
import os
import platform
import shutil
import sys
from importlib.metadata import version
from typing import Any

from msgspec import Struct, field

from baize_shared.commands import DONE, FAILED
from baize_shared.printing import prepare_stdout, print_json, print_line
from baize_shared.sizes import size_text
from baize_tui import __version__
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.recipes import CatalogError, CatalogModel, find_model, known_models
from baize_tui.cli.engine_trial import EngineTrial, Trial, try_engine
from baize_tui.cli.output import PROGRAM
from baize_tui.cli.start import speaks_utf8
from baize_tui.engine.profile_cache import WorkingProfile
from baize_tui.engine.profiles import FULL, profile_named
from baize_tui.footprint import Device
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import Settings, SettingsError, load_settings
from baize_tui.store.conversations import Store, StoreError


class Findings(Struct):
    """What was looked at, before it is put into words."""

    settings: Settings = field(default_factory=Settings)
    installed: list[str] = []
    model: CatalogModel | None = None
    engine: EngineTrial = field(default_factory=EngineTrial)
    conversations: int = 0
    problems: list[str] = []


def _look(paths: Paths) -> Findings:
    found = Findings()
    try:
        found.settings = load_settings(paths.settings_file)
    except SettingsError as error:
        found.problems.append(str(error))
    try:
        found.installed = [model.name for model in known_models(paths) if model.installed]
        found.model = find_model(found.settings.model.default, paths)
    except CatalogError as error:
        found.problems.append(str(error))
    found.engine = asyncio.run(try_engine(paths, found.model, found.settings.model.threads))
    found.problems += found.engine.problems
    try:
        store = Store(paths.conversations_file)
        found.conversations = len(store.conversations())
        if store.set_aside is not None:
            found.problems.append(f"the conversations file was damaged; kept as {store.set_aside}")
        store.close()
    except StoreError as error:
        found.problems.append(str(error))
    if not speaks_utf8():
        found.problems.append(f"the locale is {locale.getpreferredencoding(False)}, not UTF-8")
    return found


def doctor(*, json: bool) -> int:
    """Print the findings; 1 where something stands in the way of chatting."""
    paths = project_paths()
    found = _look(paths)
    described = _described(found, paths)
    if json:
        print_json(described)
    else:
        prepare_stdout(PROGRAM)
        _print(described)
    return FAILED if found.problems else DONE


def _described(found: Findings, paths: Paths) -> dict[str, Any]:
    """The findings by section, as ``--json`` prints them."""
    llama, model = found.engine.found, found.model
    here = this_machine(paths.models_folder)
    size = shutil.get_terminal_size()
    return {
        "versions": {
            "baize-tui": __version__,
            "python": platform.python_version(),
            "textual": version("textual"),
            "llama-cpp-python": llama.llama_cpp_python if llama else None,
            "llama.cpp": llama.llama_cpp if llama else None,
        },
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cpu_features": llama.system_info if llama else None,
            "threads": llama.threads if llama else None,
            "threads_batch": llama.threads_batch if llama else None,
            "gpu_offload": llama.gpu_offload if llama else None,
            "memory": f"{size_text(here.memory_free)} of {size_text(here.memory_total)} free",
            "disk": f"{size_text(here.disk_free)} free",
            "devices": [_device(device) for device in llama.devices] if llama else [],
        },
        "engine": {
            "model": model.name if model is not None else None,
            "answers": [_trial(trial) for trial in found.engine.answers],
            "profile": _profile(found.engine.remembered),
        },
        "terminal": {
            "term": os.environ.get("TERM", ""),
            "size": f"{size.columns}x{size.lines}",
            "encoding": locale.getpreferredencoding(False),
            "interactive": sys.stdout.isatty(),
        },
        "files": {
            "settings": str(paths.settings_file),
            "conversations": str(paths.conversations_file),
            "models": str(paths.models_folder),
            "cache": str(paths.cache),
            "log": str(paths.worker_log),
        },
        "models": found.installed,
        "conversations": found.conversations,
        "problems": found.problems,
    }


def _trial(trial: Trial) -> str:
    threads = "1 thread" if trial.threads == 1 else f"{trial.threads} threads"
    return f"{trial.device}: {trial.tokens_per_second} tokens/s, {threads}"


def _profile(remembered: WorkingProfile | None) -> str:
    if remembered is None:
        return FULL.name
    without = ", ".join(profile_named(remembered.profile).switched_off)
    return f"{remembered.profile}: without {without}, since {remembered.why}"


def _device(device: Device) -> str:
    memory = f", {device.free / 1e9:.1f} of {device.total / 1e9:.1f} GB free"
    return f"{device.name}: {device.description}{memory if device.is_gpu else ''}"


def _print(findings: dict[str, Any]) -> None:
    for section, content in findings.items():
        if isinstance(content, dict):
            print_line(section)
            for key, value in content.items():
                print_line(f"  {key:<17} {_text(value)}")
        elif section != "problems":
            print_line(f"{section:<19} {_text(content)}")
    for problem in findings["problems"]:
        print_line(f"problem: {problem}")
    if not findings["problems"]:
        print_line("all is well")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value is not None else "unknown"
