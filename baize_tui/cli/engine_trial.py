"""Whether llama.cpp computes on this machine: a short answer on the processor and on each GPU."""

from __future__ import annotations

from msgspec import Struct

from baize_tui.catalog.recipes import CatalogModel
from baize_tui.chat.formats import fallback_format, prompt_from_turns
from baize_tui.cli.output import tell
from baize_tui.engine.attention import TrialResult
from baize_tui.engine.client import EngineFailure, ModelSpec, WorkerEngine
from baize_tui.engine.profile_cache import WorkingProfile
from baize_tui.engine.protocol import Diagnosis, Finished, Generate, PromptMessage
from baize_tui.footprint import Device
from baize_tui.paths import Paths
from baize_tui.settings import Sampling
from baize_tui.translation import tr

_CONTEXT = 512
_MAX_TOKENS = 48


class TrialAnswer(Struct, frozen=True):
    """A short answer of a model, computed on one device."""

    device: str
    tokens_per_second: float
    threads: int


class EngineTrial(Struct):
    """What llama.cpp is on this machine, and what it could compute."""

    diagnosis: Diagnosis | None = None
    answers: list[TrialAnswer] = []
    remembered: WorkingProfile | None = None
    """The machine profile in use, if the fastest one crashed."""
    attention: TrialResult | None = None
    """What the trial of attention has shown."""
    problems: list[str] = []


async def try_engine(paths: Paths, model: CatalogModel | None, threads: int) -> EngineTrial:
    """Diagnose llama.cpp, and have ``model`` answer on the processor and on each GPU.

    A model on a server is not asked: nothing of it runs here.
    """
    trial = EngineTrial()
    engine = WorkerEngine(paths, tell)
    try:
        trial.diagnosis = await engine.diagnose()
        if model is not None and model.path is not None:
            gpus = [device for device in trial.diagnosis.devices if device.is_gpu]
            for device in [None, *gpus]:
                try:
                    trial.answers.append(await _answer_on(device, engine, model, threads))
                except EngineFailure as error:
                    name = device.name if device is not None else tr("the processor")
                    trial.problems.append(
                        tr(
                            "{model} does not answer on {device}: {why}",
                            model=model.name,
                            device=name,
                            why=error,
                        )
                    )
        trial.remembered = engine.working_profile
        trial.attention = engine.attention_trial
    except (EngineFailure, OSError) as error:
        trial.problems.append(tr("the engine does not start: {why}", why=error))
    finally:
        await engine.close()
    return trial


async def _answer_on(
    gpu: Device | None, engine: WorkerEngine, model: CatalogModel, threads: int
) -> TrialAnswer:
    """The answer on ``gpu``, or on the processor for None.

    Raises:
        EngineFailure: the model cannot be loaded, or generates nothing.
    """
    loaded = await engine.load(
        ModelSpec(
            str(model.path),
            context=_CONTEXT,
            threads=threads,
            gpu_layers=None if gpu is not None else 0,
            device=gpu.name if gpu is not None else "",
        )
    )
    prompt = prompt_from_turns(
        model.recipe.format or fallback_format(has_template=loaded.has_template),
        [PromptMessage("user", "Count from one to a hundred.")],
        system="",
        moderation=False,
    )
    request = Generate(0, prompt, Sampling(temperature=0), max_tokens=_MAX_TOKENS)
    async for event in engine.generate(request):
        if isinstance(event, Finished) and event.ids:
            return TrialAnswer(
                gpu.name if gpu is not None else "CPU",
                round(event.stats.tokens_per_second, 1),
                event.stats.threads,
            )
    raise EngineFailure(tr("the answer ended before the first token"))
