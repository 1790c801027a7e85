"""The client's side of the worker process: load, generate, cancel, and survive its death.

The process that draws the screen never imports ``llama_cpp``. A signal that kills the worker harms
nothing else: another worker starts under the next safer machine profile and repeats the request
that was running; an answer continues after the tokens that had arrived.

``worker_engine`` has the engine that others use, ``model_worker`` the worker with its model,
``recovery`` the choice of safer profiles, ``worker_process`` the process and its lines of JSON.
"""

from __future__ import annotations

from baize_tui.engine.client.failures import (
    EngineFailure,
    NoProfileLeft,
    TemplateTimeout,
    WorkerDied,
)
from baize_tui.engine.client.interface import (
    Engine,
    Generation,
    GenerationEvent,
    LocalEngine,
    ModelSpec,
)
from baize_tui.engine.client.worker_engine import WorkerEngine
from baize_tui.engine.client.worker_process import kill_workers

__all__ = [
    "Engine",
    "EngineFailure",
    "Generation",
    "GenerationEvent",
    "LocalEngine",
    "ModelSpec",
    "NoProfileLeft",
    "TemplateTimeout",
    "WorkerDied",
    "WorkerEngine",
    "kill_workers",
]
