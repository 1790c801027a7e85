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
from baize_tui.engine.client.failures import death_text
from baize_tui.engine.profile_cache import WorkingProfile
from baize_tui.engine.profiles import FULL, profile_named
from baize_tui.engine.protocol import Diagnosis
from baize_tui.footprint import Device
from baize_tui.measures import count_text, list_text, padded
from baize_tui.paths import Paths
from baize_tui.settings import Settings
from baize_tui.translation import msg, tr

LABELS = (
    msg("versions"),
    msg("machine"),
    msg("system"),
    msg("cpu_features"),
    msg("threads"),
    msg("threads_batch"),
    msg("gpu_offload"),
    msg("memory"),
    msg("disk"),
    msg("devices"),
    msg("engine"),
    msg("model"),
    msg("answers"),
    msg("profile"),
    msg("attention"),
    msg("terminal"),
    msg("term"),
    msg("size"),
    msg("encoding"),
    msg("interactive"),
    msg("files"),
    msg("settings"),
    msg("conversations"),
    msg("models"),
    msg("cache"),
    msg("log"),
)
"""The keys of the report, which a person reads as labels; versions have the names of programs."""
ATTENTION = msg("{used}; on this processor plain is {times} times as fast as flash")


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
            yield tr(section)
            for key, value in content.items():
                yield f"  {padded(tr(key), 17)} {_value_text(value)}"
        elif section != "problems":
            yield f"{padded(tr(section), 19)} {_value_text(content)}"
    for problem in report["problems"]:
        yield tr("problem: {problem}", problem=problem)
    if not report["problems"]:
        yield tr("all is well")


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
        "memory": tr(
            "{free} of {total} free",
            free=size_text(here.memory_free),
            total=size_text(here.memory_total),
        ),
        "disk": tr("{size} free", size=size_text(here.disk_free)),
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
    return tr(
        "{device}: {speed} tokens/s, {threads}",
        device=answer.device,
        speed=answer.tokens_per_second,
        threads=count_text(answer.threads, "thread"),
    )


def _profile_text(remembered: WorkingProfile | None) -> str:
    if remembered is None:
        return FULL.name
    without = list_text([tr(what) for what in profile_named(remembered.profile).switched_off])
    return tr(
        "{profile}: without {without}, since {why}",
        profile=remembered.profile,
        without=without,
        why=death_text(remembered.why),
    )


def _attention_text(trial: TrialResult | None) -> str:
    if trial is None:
        return tr("flash attention, not measured")
    used = tr("flash attention") if trial.flash_pays else tr("plain attention")
    return tr(ATTENTION, used=used, times=f"{trial.speedup_of_plain:.2f}")


def _device_text(device: Device) -> str:
    name = f"{device.name}: {device.description}"
    if not device.is_gpu:
        return name
    free, total = f"{device.free / 1e9:.1f}", f"{device.total / 1e9:.1f}"
    return tr("{device}, {free} of {total} GB free", device=name, free=free, total=total)


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or tr("none")
    return str(value) if value is not None else tr("unknown")
