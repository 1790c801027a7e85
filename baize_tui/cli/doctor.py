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

from msgspec import Struct

from baize_tui import __version__
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.recipes import CatalogError, CatalogModel, find_model, known_models
from baize_tui.chat.formats import OWN_TEMPLATE, prompt_of
from baize_tui.cli.failures import DONE, FAILED, tell
from baize_tui.cli.output import prepare_stdout, print_json, print_line
from baize_tui.cli.start import speaks_utf8
from baize_tui.engine.client import EngineFailure, ModelSpec, WorkerEngine
from baize_tui.engine.profiles import FULL, WorkingProfile, profile_named
from baize_tui.engine.protocol import Diagnosis, Finished, Generate, PromptMessage
from baize_tui.footprint import Device
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import Sampling, Settings, SettingsError, load_settings
from baize_tui.sizes import size_text
from baize_tui.store.conversations import Store, StoreError

_TRIAL_CONTEXT = 512
_TRIAL_TOKENS = 48


class Trial(Struct, frozen=True):
    """A short answer of the default model, computed on one device."""

    device: str
    tokens: int
    tokens_per_second: float
    threads: int
    profile: str
    """Name of the machine profile."""


class Engine(Struct):
    """What llama.cpp is on this machine, and what it could compute."""

    found: Diagnosis | None = None
    trials: list[Trial] = []
    remembered: WorkingProfile | None = None
    problems: list[str] = []


async def _try_engine(paths: Paths, model: CatalogModel | None, threads: int) -> Engine:
    """Look at llama.cpp, and have ``model`` answer on the processor and on each GPU."""
    result = Engine()
    engine = WorkerEngine(paths, tell)
    try:
        result.found = await engine.diagnose()
        if model is not None:
            gpus = [device for device in result.found.devices if device.is_gpu]
            for device in [None, *gpus]:
                try:
                    result.trials.append(await _try_device(engine, model, threads, device))
                except EngineFailure as error:
                    name = device.name if device is not None else "the processor"
                    result.problems.append(f"{model.name} does not answer on {name}: {error}")
        result.remembered = engine.remembered
    except (EngineFailure, OSError) as error:
        result.problems.append(f"the engine does not start: {error}")
    finally:
        await engine.close()
    return result


async def _try_device(
    engine: WorkerEngine, model: CatalogModel, threads: int, gpu: Device | None
) -> Trial:
    loaded = await engine.load(
        ModelSpec(
            str(model.path),
            context=_TRIAL_CONTEXT,
            threads=threads,
            gpu_layers=None if gpu is not None else 0,
            device=gpu.name if gpu is not None else "",
        )
    )
    prompt = prompt_of(
        model.recipe.format or (OWN_TEMPLATE if loaded.has_template else "chatml"),
        [PromptMessage("user", "Count from one to a hundred.")],
        system="",
        moderation=False,
    )
    request = Generate(0, prompt, Sampling(temperature=0), max_tokens=_TRIAL_TOKENS)
    async for event in engine.generate(request):
        if isinstance(event, Finished) and event.ids:
            stats = event.stats
            return Trial(
                device=gpu.name if gpu is not None else "CPU",
                tokens=stats.completion_tokens,
                tokens_per_second=round(stats.tokens_per_second, 1),
                threads=stats.threads,
                profile=engine.profile.name,
            )
    raise EngineFailure("it ended its answer before the first token")


def doctor(*, json: bool) -> int:
    """Print the findings; 1 where something stands in the way of chatting."""
    paths = project_paths()
    problems: list[str] = []
    settings = Settings()
    try:
        settings = load_settings(paths.settings_file)
    except SettingsError as error:
        problems.append(str(error))
    installed: list[str] = []
    model: CatalogModel | None = None
    try:
        installed = [model.name for model in known_models(paths) if model.installed]
        model = find_model(settings.model.default, paths)
    except CatalogError as error:
        problems.append(str(error))
    engine = asyncio.run(_try_engine(paths, model, settings.model.threads))
    problems += engine.problems
    llama = engine.found
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
        "engine": {
            "model": model.name if model is not None else None,
            "answers": [_trial(trial) for trial in engine.trials],
            "profile": _profile(engine.remembered),
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
