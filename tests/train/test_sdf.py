"""Self-distillation with feedback: a second LoRA that learns what a judge likes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baize_train.feedback.scoring import SCORES_FILE
from tests.train.processes import run
from tests.train.scripted_server import ScriptedServer, serve
from tests.train.small_runs import trained, weights

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

pytestmark = pytest.mark.training


def talk(messages: list[dict[str, str]]) -> str:
    """Answers in words of different lengths, and likes the longest."""
    if messages[0]["role"] == "system":
        shown = re.findall(r"\[Begin of answer \d+\]\n(.*?)\n\[End", messages[-1]["content"])
        return " ".join(str(min(100, 1 + len(one))) for one in shown)
    counts[messages[-1]["content"]] = counts.get(messages[-1]["content"], 0) + 1
    return "river " * counts[messages[-1]["content"]]


counts: dict[str, int] = {}


@pytest.fixture
def instructions(tmp_path: Path) -> Path:
    file = tmp_path / "instructions.txt"
    file.write_text("".join(f"What does number {n} say?\n" for n in range(6)))
    return file


def improved(
    server: ScriptedServer, base: Path, first: Path, instructions: Path, output: Path, method: str
) -> dict[str, Any]:
    counts.clear()
    done = run(
        "sdf", "--base", base, "--adapter", first, "--seeds", instructions, "-o", output,
        "--speaker", server.spec, "--judge", server.spec, "--method", method,
        "--preset", "cpu-try", "--batch", "2", "--micro-batch", "2", "--steps", "8",
        "--learning-rate", "0.02", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("method", ["best", "dpo"])
def test_a_second_adapter_learns_over_the_first(
    tiny_llama: Path, corpus: Path, instructions: Path, tmp_path: Path, method: str
) -> None:
    first, second = tmp_path / "sft", tmp_path / "sdf"
    trained(tiny_llama, corpus, first, "--steps", "4")
    before = weights(first)
    with serve(talk) as server:
        told = improved(server, tiny_llama, first, instructions, second, method)
        asked = len(server.requests)
        again = improved(server, tiny_llama, first, instructions, second, method)
        assert len(server.requests) == asked, "it is done already"
    assert told["judged"] == told["instructions"] == 6
    assert again["run"] == told["run"]
    assert told["run"]["kind"] == ("sdf" if method == "best" else "dpo")
    assert told["run"]["teachers"] == ["teacher"]
    losses = [point["loss"] for point in told["run"]["losses"]]
    assert losses[-1] < losses[0]
    lines = [json.loads(line) for line in (second / SCORES_FILE).read_text().splitlines()]
    assert all(np.array(line["scores"]).shape == (2, 4) for line in lines)
    assert all(np.array_equal(before[name], one) for name, one in weights(first).items())
    assert likes(tiny_llama, [first, second]) > likes(tiny_llama, [first])


def test_the_two_are_the_paper_s_sum(
    tiny_llama: Path, corpus: Path, instructions: Path, tmp_path: Path
) -> None:
    """PEFT with both adapters at once (equation 2) is the base with one merged and one over it."""
    first, second = tmp_path / "sft", tmp_path / "sdf"
    trained(tiny_llama, corpus, first, "--steps", "4")
    with serve(talk) as server:
        improved(server, tiny_llama, first, instructions, second, "best")
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


def likes(base: Path, adapters: list[Path]) -> float:
    """The mean log-likelihood of the words that the judge prefers."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    for adapter in adapters:
        model = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    ids = tokenizer("<|im_start|>assistant\nriver river river river", return_tensors="pt").input_ids
    with torch.no_grad():
        return -float(model(ids, labels=ids).loss)


def test_a_judge_that_gives_no_scores_ends_it_with_a_line(
    tiny_llama: Path, corpus: Path, instructions: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "sft", tmp_path / "sdf"
    trained(tiny_llama, corpus, first, "--steps", "1")
    with serve(lambda _: "I would rather not") as server:
        done = run(
            "sdf", "--base", tiny_llama, "--adapter", first, "--seeds", instructions, "-o", second,
            "--speaker", server.spec, "--judge", server.spec, "--preset", "cpu-try",
        )  # fmt: skip
    assert done.returncode == 1
    assert "did not reply with 4 scores" in done.stderr.splitlines()[-1]
    lines = [json.loads(line) for line in (second / SCORES_FILE).read_text().splitlines()]
    assert all("problem" in line for line in lines)


def test_what_is_no_adapter_gets_a_line(
    tiny_llama: Path, instructions: Path, tmp_path: Path
) -> None:
    with serve(talk) as server:
        done = run(
            "sdf", "--base", tiny_llama, "--adapter", tmp_path, "--seeds", instructions,
            "-o", tmp_path / "sdf", "--speaker", server.spec, "--judge", server.spec,
        )  # fmt: skip
        assert len(server.requests) == 0, "nothing is paid for before that is known"
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path) in done.stderr
