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

from baize_tui import __version__
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.recipes import CatalogError, known_models
from baize_tui.cli.failures import DONE, FAILED
from baize_tui.cli.output import prepare_stdout, print_json, print_line
from baize_tui.cli.start import speaks_utf8
from baize_tui.engine.client import EngineFailure, WorkerEngine
from baize_tui.engine.protocol import Diagnosis
from baize_tui.footprint import Device
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import SettingsError, load_settings
from baize_tui.sizes import size_text
from baize_tui.store.conversations import Store, StoreError


async def _diagnose(paths: Paths) -> Diagnosis:
    engine = WorkerEngine(paths.worker_log)
    try:
        return await engine.diagnose()
    finally:
        await engine.close()


def doctor(*, json: bool) -> int:
    """Print the findings; 1 where something stands in the way of chatting."""
    paths = project_paths()
    problems: list[str] = []
    llama: Diagnosis | None = None
    try:
        llama = asyncio.run(_diagnose(paths))
    except (EngineFailure, OSError) as error:
        problems.append(f"the engine does not start: {error}")
    try:
        load_settings(paths.settings_file)
    except SettingsError as error:
        problems.append(str(error))
    installed: list[str] = []
    try:
        installed = [model.name for model in known_models(paths) if model.installed]
        if not installed:
            problems.append("no model: import one with 'baize-tui models import FILE.gguf'")
    except CatalogError as error:
        problems.append(str(error))
    conversations = 0
    try:
        store = Store(paths.conversations_file)
        conversations = len(store.conversations())
        if store.set_aside is not None:
            problems.append(f"the conversations file was damaged; kept as {store.set_aside}")
        store.close()
    except StoreError as error:
        problems.append(str(error))
    if not speaks_utf8():
        problems.append(f"the locale is {locale.getpreferredencoding(False)}, not UTF-8")
    here = this_machine(paths.models_folder)
    size = shutil.get_terminal_size()
    findings: dict[str, Any] = {
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
        "models": installed,
        "conversations": conversations,
        "problems": problems,
    }
    if json:
        print_json(findings)
    else:
        prepare_stdout()
        _print(findings)
    return FAILED if problems else DONE


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
