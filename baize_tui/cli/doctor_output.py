"""The findings of ``baize-tui doctor``, as JSON and as lines for a person."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from msgspec import Struct, field

from baize_shared.sizes import size_text
from baize_tui import __version__
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.cli.engine_trial import EngineTrial, TrialAnswer
from baize_tui.engine.attention import TrialResult
from baize_tui.engine.profile_cache import WorkingProfile
from baize_tui.engine.profiles import FULL, profile_named
from baize_tui.engine.protocol import Diagnosis
from baize_tui.footprint import Device
from baize_tui.paths import Paths
from baize_tui.settings import Settings


class Findings(Struct):
    """What was found; a problem is one line."""

    settings: Settings = field(default_factory=Settings)
    installed: list[str] = []
    """Names of the installed models."""
    model: CatalogModel | None = None
    """The model that a start would load."""
    engine: EngineTrial = field(default_factory=EngineTrial)
    conversations: int = 0
    problems: list[str] = []


def report_json(findings: Findings, paths: Paths) -> dict[str, Any]:
    """The findings by section, as ``--json`` prints them."""
    model = findings.model
    return {
        "versions": _versions(findings.engine.diagnosis),
        "machine": _machine(findings.engine.diagnosis, paths),
        "engine": {
            "model": model.name if model is not None else None,
            "answers": [_trial_text(answer) for answer in findings.engine.answers],
            "profile": _profile_text(findings.engine.remembered),
            "attention": _attention_text(findings.engine.attention),
        },
        "terminal": _terminal(),
        "files": {
            "settings": str(paths.settings_file),
            "conversations": str(paths.conversations_file),
            "models": str(paths.models_folder),
            "cache": str(paths.cache),
            "log": str(paths.worker_log),
        },
        "models": findings.installed,
        "conversations": findings.conversations,
        "problems": findings.problems,
    }


def report_lines(report: dict[str, Any]) -> Iterator[str]:
    """The result of ``report_json`` for a person."""
    for section, content in report.items():
        if isinstance(content, dict):
            yield section
            for key, value in content.items():
                yield f"  {key:<17} {_value_text(value)}"
        elif section != "problems":
            yield f"{section:<19} {_value_text(content)}"
    for problem in report["problems"]:
        yield f"problem: {problem}"
    if not report["problems"]:
        yield "all is well"


def _versions(llama: Diagnosis | None) -> dict[str, str | None]:
    return {
        "baize-tui": __version__,
        "python": platform.python_version(),
        "textual": version("textual"),
        "llama-cpp-python": llama.llama_cpp_python if llama else None,
        "llama.cpp": llama.llama_cpp if llama else None,
    }


def _machine(llama: Diagnosis | None, paths: Paths) -> dict[str, Any]:
    here = this_machine(paths.models_folder)
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu_features": llama.system_info if llama else None,
        "threads": llama.threads if llama else None,
        "threads_batch": llama.threads_batch if llama else None,
        "gpu_offload": llama.gpu_offload if llama else None,
        "memory": f"{size_text(here.memory_free)} of {size_text(here.memory_total)} free",
        "disk": f"{size_text(here.disk_free)} free",
        "devices": [_device_text(device) for device in llama.devices] if llama else [],
    }


def _terminal() -> dict[str, Any]:
    size = shutil.get_terminal_size()
    return {
        "term": os.environ.get("TERM", ""),
        "size": f"{size.columns}x{size.lines}",
        "encoding": sys.stdout.encoding,
        "interactive": sys.stdout.isatty(),
    }


def _trial_text(answer: TrialAnswer) -> str:
    threads = "1 thread" if answer.threads == 1 else f"{answer.threads} threads"
    return f"{answer.device}: {answer.tokens_per_second} tokens/s, {threads}"


def _profile_text(remembered: WorkingProfile | None) -> str:
    if remembered is None:
        return FULL.name
    without = ", ".join(profile_named(remembered.profile).switched_off)
    return f"{remembered.profile}: without {without}, since {remembered.why}"


def _attention_text(trial: TrialResult | None) -> str:
    if trial is None:
        return "flash attention, not measured"
    used = "flash attention" if trial.flash_pays else "plain attention"
    return f"{used}; on this processor plain is {trial.speedup_of_plain:.2f} times as fast as flash"


def _device_text(device: Device) -> str:
    memory = f", {device.free / 1e9:.1f} of {device.total / 1e9:.1f} GB free"
    return f"{device.name}: {device.description}{memory if device.is_gpu else ''}"


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value is not None else "unknown"
