"""The worker process: its contract with the client."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import pytest

from baize_tui.engine.client import (
    EngineFailure,
    ModelSpec,
    TemplateTimeout,
    WorkerDied,
    WorkerEngine,
)
from baize_tui.engine.client.worker_process import WorkerProcess
from baize_tui.engine.profiles import FULL
from baize_tui.engine.protocol import (
    Count,
    Delta,
    Finished,
    Generate,
    Prefilling,
    Prompt,
    PromptMessage,
    Warm,
)
from baize_tui.paths import Paths
from baize_tui.settings import Sampling
from build_llama.installation import pinned_version
from tests.conftest import wait_until
from tests.engine.model_files import broken_files
from tests.processes import is_running

GREEDY = Sampling(temperature=0)
PARIS = Prompt(
    [
        PromptMessage("system", "You are a helpful AI assistant."),
        PromptMessage("user", "What is the capital of France?"),
    ]
)


SAY_PARIS = 'root ::= "Paris"'
"""A grammar with which any model gives the right answer."""


def request(prompt: Prompt = PARIS, **options: object) -> Generate:
    return Generate(0, prompt, GREEDY, **{"max_tokens": 10, **options})  # type: ignore[arg-type]


def long_prompt(words: int = 3500) -> Prompt:
    """One that is read for a while, even by the first layers of a model."""
    return Prompt([PromptMessage("user", "word " * words)])


@pytest.fixture
async def engine(paths: Paths, shallow_smollm2: Path) -> AsyncIterator[WorkerEngine]:
    engine = WorkerEngine(paths)
    await engine.load(ModelSpec(str(shallow_smollm2), threads=2))
    yield engine
    await engine.close()


async def test_it_loads_with_progress_and_answers(paths: Paths, smollm2: Path) -> None:
    engine = WorkerEngine(paths)
    fractions: list[float] = []
    model = await engine.load(ModelSpec(str(smollm2), context=512), fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert model.n_ctx == 512
    events = [event async for event in engine.generate(request())]
    assert isinstance(events[-1], Finished)
    assert "Paris" in events[-1].text
    await engine.close()
    assert engine.worker_pid is None


async def test_the_client_never_imports_llama_cpp(paths: Paths, shallow_smollm2: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from baize_tui.paths import project_paths\n"
        "from baize_tui.engine.client import ModelSpec, WorkerEngine\n"
        "async def main():\n"
        "    engine = WorkerEngine(project_paths())\n"
        f"    await engine.load(ModelSpec({str(shallow_smollm2)!r}))\n"
        "    await engine.close()\n"
        "asyncio.run(main())\n"
        "sys.exit('llama_cpp' in sys.modules)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGRTMIN + 6])
async def test_a_killed_worker_is_replaced_and_its_answer_continues(
    engine: WorkerEngine, number: int
) -> None:
    """Python has no name for most real-time signals."""
    first = engine.worker_pid
    assert first is not None
    text = ""
    story = Prompt([PromptMessage("user", "Write a long story about a dragon.")])
    async for event in engine.generate(request(story, max_tokens=60)):
        if isinstance(event, Delta):
            text += event.text
            if engine.worker_pid == first:
                os.kill(first, number)
    assert isinstance(event, Finished)
    assert event.text == text
    assert len(event.ids) == event.stats.completion_tokens == 60
    assert engine.worker_pid not in (None, first)


async def test_a_worker_that_dies_while_nobody_waits_is_replaced(engine: WorkerEngine) -> None:
    first = engine.worker_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await wait_until(lambda: not is_running(first), "the end of the worker")
    events = [event async for event in engine.generate(request())]
    assert isinstance(events[-1], Finished)
    assert engine.worker_pid not in (None, first)


async def test_cancelling_stops_the_computation(engine: WorkerEngine) -> None:
    generation = engine.generate(request(long_prompt()))
    async for event in generation:
        if isinstance(event, Prefilling) and event.done > 0:
            generation.cancel()
        last = event
    assert isinstance(last, Finished)
    assert last.reason == "cancelled"
    assert last.stats.completion_tokens == 0


async def test_leaving_the_events_early_stops_the_computation(engine: WorkerEngine) -> None:
    async for event in engine.generate(request(long_prompt(), max_tokens=2000)):
        if isinstance(event, Prefilling):
            break
    # The next request is answered although nobody waited for the one before.
    events = [event async for event in engine.generate(request())]
    assert isinstance(events[-1], Finished)


async def test_the_end_of_the_client_ends_the_worker(paths: Paths, shallow_smollm2: Path) -> None:
    """Also in the middle of a computation, and when the client is killed."""
    code = (
        "import asyncio\n"
        "from baize_tui.paths import project_paths\n"
        "from baize_tui.engine.client import ModelSpec, WorkerEngine\n"
        "from baize_tui.engine.protocol import Generate, Prompt, PromptMessage\n"
        "async def main():\n"
        "    engine = WorkerEngine(project_paths())\n"
        f"    await engine.load(ModelSpec({str(shallow_smollm2)!r}))\n"
        "    prompt = Prompt([PromptMessage('user', 'word ' * 3500)])\n"
        "    async for event in engine.generate(Generate(0, prompt)):\n"
        "        print(engine.worker_pid, flush=True)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    worker = int(await process.stdout.readline())
    assert is_running(worker)
    process.kill()
    await process.wait()
    await wait_until(lambda: not is_running(worker), "the end of the worker")


async def test_the_worker_does_not_receive_ctrl_c(engine: WorkerEngine) -> None:
    pid = engine.worker_pid
    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)


async def test_broken_files_are_named_and_the_client_lives(
    engine: WorkerEngine, shallow_smollm2: Path, tmp_path: Path
) -> None:
    for defect, (file, named) in broken_files(tmp_path / "broken", shallow_smollm2).items():
        with pytest.raises(EngineFailure, match=named) as caught:
            await engine.load(ModelSpec(str(file)))
        assert str(file) in str(caught.value), defect
        assert "\n" not in str(caught.value)
        assert not isinstance(caught.value, WorkerDied), defect
    for file, named in ((tmp_path, "is a folder"), (tmp_path / "no.gguf", "No such file")):
        with pytest.raises(EngineFailure, match=named):
            await engine.load(ModelSpec(str(file)))
    await engine.load(ModelSpec(str(shallow_smollm2)))
    events = [event async for event in engine.generate(request())]
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    "loop",
    [
        # endless in Python, and endless in one call into C
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ range(99999) | batch(1) | list | string | length }}"
        "{% for i in range(99999) %}{% set x = range(99999) | sum %}{% endfor %}",
    ],
)
async def test_an_endless_template_is_named_and_not_tried_again(
    engine: WorkerEngine, loop: str
) -> None:
    hostile = Prompt([PromptMessage("user", "Hi")], template=loop)
    for _ in range(2):
        with pytest.raises(EngineFailure, match="template did not end") as caught:
            async for _event in engine.generate(request(hostile)):
                pass
        assert caught.value.kind == "template"
    events = [event async for event in engine.generate(request())]
    assert isinstance(events[-1], Finished)


async def test_an_endless_template_kills_one_worker_whoever_runs_it(engine: WorkerEngine) -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    hostile = Prompt([PromptMessage("user", "Hi")], template=loop)
    with pytest.raises(TemplateTimeout):
        await engine.warm(Warm(0, hostile))
    await engine.count(Count(0, PARIS))
    worker = engine.worker_pid
    with pytest.raises(TemplateTimeout):
        await engine.count(Count(0, hostile))
    with pytest.raises(TemplateTimeout):
        await engine.warm(Warm(0, hostile))
    with pytest.raises(TemplateTimeout):
        engine.generate(request(hostile))
    assert engine.worker_pid == worker


async def test_a_failing_template_is_named(engine: WorkerEngine) -> None:
    broken = Prompt(
        [PromptMessage("user", "Hi")], template="{{ nothing.here }}", template_name="the format x"
    )
    with pytest.raises(EngineFailure, match="the format x failed") as caught:
        async for _ in engine.generate(request(broken)):
            pass
    assert caught.value.kind == "template"


async def test_a_prompt_that_is_too_long_is_refused_with_its_length(engine: WorkerEngine) -> None:
    with pytest.raises(EngineFailure) as caught:
        async for _ in engine.generate(request(long_prompt(6000))):
            pass
    assert caught.value.kind == "too_long"
    assert caught.value.tokens > caught.value.n_ctx
    assert await engine.count(Count(0, long_prompt(6000))) == caught.value.tokens


async def test_the_text_of_a_model_is_sanitized(engine: WorkerEngine) -> None:
    """Ids that spell an escape sequence become visible text."""
    prompt = Prompt(
        [PromptMessage("user", "x")], partial=PromptMessage("assistant", "\x1b]0;title\x07\x9b31m")
    )
    events = [event async for event in engine.generate(request(prompt, max_tokens=1))]
    text = "".join(event.text for event in events if isinstance(event, Delta))
    assert "␛]0;title␇" in text
    assert not any(char in text for char in "\x1b\x07\x9b")


async def test_diagnosis_names_the_engine(engine: WorkerEngine) -> None:
    diagnosis = await engine.diagnose()
    assert diagnosis.llama_cpp_python == pinned_version()
    assert diagnosis.threads >= 1
    assert any("CPU" in device.name for device in diagnosis.devices)


async def test_the_header_of_the_real_model(engine: WorkerEngine, smollm2: Path) -> None:
    header = await engine.inspect(str(smollm2))
    assert header.architecture == "llama"
    assert header.parameters == 134_515_008
    assert (header.layers, header.embedding, header.heads, header.heads_kv) == (30, 576, 9, 3)
    assert (header.vocabulary, header.context_length) == (49152, 8192)
    assert header.quantization.startswith("Q4_1")
    assert "<|im_start|>" in header.chat_template


@pytest.mark.sampled(1)
@pytest.mark.parametrize("temperature", [math.inf, math.nan, -1.0])
async def test_a_number_that_json_cannot_express_fails_the_request(
    temperature: float, engine: WorkerEngine
) -> None:
    wrong = Generate(0, PARIS, Sampling(temperature=temperature))
    with pytest.raises(EngineFailure, match="temperature"):
        [event async for event in engine.generate(wrong)]
    events = [event async for event in engine.generate(request(grammar=SAY_PARIS))]
    assert isinstance(events[-1], Finished)
    assert events[-1].text == "Paris"


async def test_an_unexpected_exception_in_the_worker_answers_the_request(
    engine: WorkerEngine, paths: Paths
) -> None:
    pid = engine.worker_pid
    with pytest.raises(EngineFailure, match="an error in the model process"):
        await engine.write_logits([1, 2], Path("a name with \0 in it"))
    assert "Traceback" in paths.worker_log.read_text()
    events = [event async for event in engine.generate(request(grammar=SAY_PARIS))]
    assert isinstance(events[-1], Finished)
    assert events[-1].text == "Paris"
    assert engine.worker_pid == pid


async def test_a_worker_may_end_in_the_moment_in_which_it_is_killed(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine it ends late, just after nobody waits any more."""

    async def give_up_too_late(ended: Coroutine[None, None, int], limit_s: float) -> int:
        await ended
        raise TimeoutError

    worker = await WorkerProcess.start(paths.logs / "worker.log", FULL)
    monkeypatch.setattr(asyncio, "wait_for", give_up_too_late)
    await worker.close()
