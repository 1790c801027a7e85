"""Self-distillation with feedback: a second LoRA learns what a judge prefers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baize_train.feedback.scoring import SCORES_FILE
from tests.sweeps import swept
from tests.train.processes import run
from tests.train.scripted_server import ScriptedServer, serve
from tests.train.small_runs import weights

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

pytestmark = pytest.mark.training


def talk(messages: list[dict[str, str]]) -> str:
    """Gives answers of different lengths, and as a judge prefers the longest."""
    if messages[0]["role"] == "system":
        shown = re.findall(r"\[Begin of answer \d+\]\n(.*?)\n\[End", messages[-1]["content"])
        return " ".join(str(min(100, 1 + len(answer))) for answer in shown)
    counts[messages[-1]["content"]] = counts.get(messages[-1]["content"], 0) + 1
    return "river " * counts[messages[-1]["content"]]


counts: dict[str, int] = {}


@pytest.fixture
def instructions(tmp_path: Path) -> Path:
    file = tmp_path / "instructions.txt"
    file.write_text("".join(f"What does number {n} say?\n" for n in range(6)))
    return file


def run_sdf(
    server: ScriptedServer, base: Path, first: Path, instructions: Path, output: Path, method: str
) -> dict[str, Any]:
    counts.clear()
    process = run(
        "sdf", "--base", base, "--adapter", first, "--seeds", instructions, "-o", output,
        "--speaker", server.spec, "--judge", server.spec, "--method", method,
        "--preset", "cpu-try", "--batch", "2", "--micro-batch", "2", "--steps", "8",
        "--learning-rate", "0.02", "--json",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout)
    return result


@pytest.mark.parametrize("method", swept(["best", "dpo"], "best"))
def test_a_second_adapter_learns_on_top_of_the_first(
    tiny_llama: Path, tiny_adapter: Path, instructions: Path, tmp_path: Path, method: str
) -> None:
    first, second = tiny_adapter, tmp_path / "sdf"
    before = weights(first)
    with serve(talk) as server:
        report = run_sdf(server, tiny_llama, first, instructions, second, method)
        asked = len(server.requests)
        again = run_sdf(server, tiny_llama, first, instructions, second, method)
        assert len(server.requests) == asked, "it has finished already"
    assert report["judged"] == report["instructions"] == 6
    assert again["run"] == report["run"]
    assert report["run"]["kind"] == ("sdf" if method == "best" else "dpo")
    assert report["run"]["teachers"] == ["teacher"]
    losses = [point["loss"] for point in report["run"]["losses"]]
    assert losses[-1] < losses[0]
    lines = [json.loads(line) for line in (second / SCORES_FILE).read_text().splitlines()]
    assert all(np.array(line["scores"]).shape == (2, 4) for line in lines)
    assert all(np.array_equal(before[name], weight) for name, weight in weights(first).items())
    assert log_likelihood(tiny_llama, [first, second]) > log_likelihood(tiny_llama, [first])


def test_both_adapters_add_up_as_in_the_paper(
    tiny_llama: Path, tiny_adapter: Path, instructions: Path, tmp_path: Path
) -> None:
    """PEFT with both adapters at once (equation 2) is the base with one merged and one over it."""
    first, second = tiny_adapter, tmp_path / "sdf"
    with serve(talk) as server:
        run_sdf(server, tiny_llama, first, instructions, second, "best")
    ids = torch.arange(5, 40)[None]

    def base() -> Any:
        return transformers.AutoModelForCausalLM.from_pretrained(tiny_llama)

    both = peft.PeftModel.from_pretrained(base(), first, adapter_name="sft")
    both.load_adapter(second, adapter_name="sdf")
    both.base_model.set_adapter(["sft", "sdf"])
    merged = peft.PeftModel.from_pretrained(base(), first).merge_and_unload()
    over = peft.PeftModel.from_pretrained(merged, second)
    with torch.no_grad():
        assert torch.allclose(both(ids).logits, over(ids).logits, atol=1e-5)


def log_likelihood(base: Path, adapters: list[Path]) -> float:
    """The mean log-likelihood of the words that the judge prefers."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    for adapter in adapters:
        model = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    ids = tokenizer("<|im_start|>assistant\nriver river river river", return_tensors="pt").input_ids
    with torch.no_grad():
        return -float(model(ids, labels=ids).loss)


def test_a_judge_without_scores_is_one_line(
    tiny_llama: Path, tiny_adapter: Path, instructions: Path, tmp_path: Path
) -> None:
    second = tmp_path / "sdf"
    with serve(lambda _: "I would rather not") as server:
        process = run(
            "sdf", "--base", tiny_llama, "--adapter", tiny_adapter, "--seeds", instructions,
            "-o", second, "--speaker", server.spec, "--judge", server.spec, "--preset", "cpu-try",
        )  # fmt: skip
    assert process.returncode == 1
    assert "did not reply with 4 scores" in process.stderr.splitlines()[-1]
    lines = [json.loads(line) for line in (second / SCORES_FILE).read_text().splitlines()]
    assert all("problem" in line for line in lines)


def test_a_folder_that_is_not_an_adapter_is_one_line(
    tiny_llama: Path, instructions: Path, tmp_path: Path
) -> None:
    with serve(talk) as server:
        process = run(
            "sdf", "--base", tiny_llama, "--adapter", tmp_path, "--seeds", instructions,
            "-o", tmp_path / "sdf", "--speaker", server.spec, "--judge", server.spec,
        )  # fmt: skip
        assert len(server.requests) == 0, "the adapter is checked before anything is paid for"
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    assert str(tmp_path) in process.stderr
