"""Training does what its options say, and what it learns travels with the adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baize_shared.trained_prompt import TrainedPrompt, read_trained_prompt
from baize_train.cli.app import run as run_here
from baize_train.cli.training_options import TrainingOptions, choose_preset
from baize_train.corpus.dialogues import Dialogue, Turn, dialogue_id
from baize_train.corpus.mixing import hold_out, split
from baize_train.errors import TrainError
from baize_train.training.kernels import Kernels
from baize_train.training.presets import PRESETS, Preset
from baize_train.training.run import count_epoch_steps, count_packed_rows
from tests.train.processes import run
from tests.train.small_runs import SMALL, finetune, weights

# --- batches, packing, held-out dialogues ---------------------------------------------------------


@given(st.integers(1, 300), st.integers(1, 64), st.integers(1, 8))
def test_a_step_has_exactly_the_sequences_of_a_batch(
    batch: int, at_once: int, devices: int
) -> None:
    preset = Preset("", batch=batch, micro_batch=at_once)
    if batch % devices:
        with pytest.raises(TrainError, match="choose a multiple"):
            preset.split_batch(devices)
        return
    taken, times = preset.split_batch(devices)
    assert taken * times * devices == batch
    assert taken <= at_once


def test_dialogues_that_cannot_share_a_row_have_their_own() -> None:
    assert count_packed_rows([1177] * 60, 2048) == 60
    assert count_packed_rows([1024] * 60, 2048) == 30
    assert count_packed_rows([2048, 1500, 548, 500], 2048) == 3


@pytest.mark.training
@settings(max_examples=10, deadline=None)
@given(lengths=st.lists(st.integers(1, 64), min_size=1, max_size=60))
def test_rows_are_counted_as_trl_packs_them(lengths: list[int]) -> None:
    datasets = pytest.importorskip("datasets")
    pack_dataset = pytest.importorskip("trl").pack_dataset
    data = datasets.Dataset.from_dict({"input_ids": [[1] * length for length in lengths]})
    assert count_packed_rows(lengths, 64) == len(pack_dataset(data, 64, "bfd"))


@pytest.mark.parametrize(
    ("rows", "batch", "epochs", "steps"),
    [(100, 64, 3.0, 6), (1, 4, 3.0, 3), (64, 64, 3.0, 3), (128, 64, 0.5, 1), (5, 4, 1.0, 2)],
)
def test_every_row_is_learned_in_each_epoch(
    rows: int, batch: int, epochs: float, steps: int
) -> None:
    """The last step of an epoch has what is left: 5 steps over 100 rows would be 2.5 epochs."""
    assert count_epoch_steps(rows, Preset("", batch=batch, epochs=epochs)) == steps


def some_dialogues(count: int) -> list[Dialogue]:
    turns = [[Turn("user", f"{n}?"), Turn("assistant", "Yes.")] for n in range(count)]
    return [Dialogue(pair, dialogue_id(pair)) for pair in turns]


@given(count=st.integers(0, 60), part=st.floats(0, 0.9), seed=st.integers(0, 9))
def test_as_many_dialogues_are_held_out_as_was_said(count: int, part: float, seed: int) -> None:
    dialogues = some_dialogues(count)
    kept, held_out = hold_out(dialogues, part, seed)
    assert sorted(d.id for d in kept + held_out) == sorted(d.id for d in dialogues)
    assert kept or not dialogues
    assert abs(len(held_out) - part * count) <= 1
    assert held_out or not part or count < 2
    for sides in (split(dialogues, max(part, 0.01), seed),):
        assert all(sides) or count < 2


# --- what travels with the adapter ----------------------------------------------------------------


@pytest.mark.training
def test_an_adapter_carries_its_prompt_its_base_and_its_story(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    prompt = ("--format", "chatml", "--system", "Be brief.")
    lora = ("--rank", "4", "--modules", "q_proj")
    finetune(tiny_llama, corpus, first, "--steps", "2", *prompt, *lora)
    assert read_trained_prompt(first) == TrainedPrompt("chatml", "Be brief.")
    assert json.loads((first / "adapter_config.json").read_text())["base_model_name_or_path"] == (
        str(tiny_llama)
    )
    card = (first / "README.md").read_text()
    for part in (str(corpus), "a test", "2 steps", "More Information"):
        assert (part in card) is (part != "More Information")
    manifest = finetune(tiny_llama, corpus, second, "--steps", "3", "--adapter", first)
    assert read_trained_prompt(second) == TrainedPrompt("chatml", "Be brief.")
    assert manifest["settings"]["continues"] == str(first)
    settings = {name: manifest["settings"][name] for name in ("rank", "alpha", "modules")}
    assert settings == {"rank": 4, "alpha": 8, "modules": ["q_proj"]}
    assert "- rank: 4" in (second / "README.md").read_text()
    before, after = weights(first), weights(second)
    assert before.keys() == after.keys()
    assert any((before[name] != after[name]).any() for name in before)
    assert manifest["losses"][0]["loss"] < 12
    again = run(
        "finetune", "--base", tiny_llama, "--data", corpus, "-o", second, *SMALL, "--steps", "9"
    )
    assert "choose another folder" in again.stderr


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("adapter_model.safetensors", "contains another adapter"),
        ("adapter_model.bin", "contains another adapter"),
        ("model-00001-of-00002.safetensors", "contains another model"),
        ("pytorch_model.bin", "contains another model"),
        ("adapter_config.json", "contains adapter_config.json, which"),
        ("README.md", "contains README.md, which the run would write over"),
    ],
)
@pytest.mark.parametrize("command", ["finetune", "sdf"])
def test_what_another_program_wrote_is_not_overwritten(
    command: str,
    name: str,
    what: str,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is refused before a base is loaded, or an answer paid for."""
    monkeypatch.setattr(f"baize_train.cli.{command}.require_training_libraries", lambda: None)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_bytes(b"mine")
    options = {
        "finetune": ["--data", str(corpus)],
        "sdf": ["--adapter", "first", "--seeds", str(corpus)],
    }
    assert run_here([command, "--base", "nowhere", "-o", str(folder), *options[command]]) == 1
    assert what in capsys.readouterr().err
    assert [(file.name, file.read_bytes()) for file in folder.iterdir()] == [(name, b"mine")]


@pytest.mark.training
def test_pairs_of_answers_train_by_preference(tiny_llama: Path, tmp_path: Path) -> None:
    """As ``sessions export --as pairs`` writes them."""
    pairs, output = tmp_path / "pairs.jsonl", tmp_path / "dpo"
    lines = [
        {
            "prompt": [{"role": "user", "content": f"What is number {n}?"}],
            "chosen": [{"role": "assistant", "content": f"The river {n}."}],
            "rejected": [{"role": "assistant", "content": "No."}],
            "why": "marks",
        }
        for n in range(8)
    ]
    single = {"question": "What is number 9?", "answer": "The river 9."}
    pairs.write_text("".join(json.dumps(line) + "\n" for line in [*lines, single]))
    options = ("--preset", "cpu-try", "--batch", "2", "--steps", "4", "--json")
    done = run("finetune", "--base", tiny_llama, "--preference", pairs, "-o", output, *options)
    assert done.returncode == 0, done.stderr
    assert "left out 1 dialogue without a rejected answer" in done.stderr
    manifest = json.loads(done.stdout)["run"]
    assert (manifest["kind"], manifest["steps"], manifest["finished"]) == ("dpo", 4, True)
    assert weights(output)
    assert read_trained_prompt(output) is not None


@pytest.mark.training
def test_pairs_that_teach_nothing_are_counted_by_their_reason(
    tiny_llama: Path, tmp_path: Path
) -> None:
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    long = "word " * 60
    pairs = [
        *[("The river.", "No.")] * 5,
        (f"No. {long}", f"The river. {long}"),
        (f"{long}yes", f"{long}no"),
        ("The river.", "The river. "),
        ("", "No."),
        ("The river.", "<think>Hm.</think>No."),
    ]
    lines = [
        {"prompt": f"What is {n}?", "chosen": chosen, "rejected": rejected, "teacher": "a person"}
        for n, (chosen, rejected) in enumerate(pairs)
    ]
    files[0].write_text("".join(json.dumps(line) + "\n" for line in lines[:6]))
    files[1].write_text("".join(json.dumps(line) + "\n" for line in lines[6:]))
    named = [argument for file in files for argument in ("--preference", file)]
    options = ("--preset", "cpu-try", "--batch", "4", "--max-length", "80", "--json")
    output = tmp_path / "dpo"
    done = run("finetune", "--base", tiny_llama, *named, "-o", output, *options)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)["run"]
    assert manifest["steps"] == 2
    assert [file["dialogues"] for file in manifest["data"]] == [6, 4]
    assert manifest["teachers"] == ["a person"]
    tokens = manifest["tokens"]
    assert (tokens["dialogues"], tokens["cut_dialogues"]) == (6, 1)
    assert tokens["left_out"] == {
        "both answers are the same, as far as --max-length": 2,
        "an answer is empty": 1,
        "an answer contains reasoning, which templates remove": 1,
    }


@pytest.mark.parametrize("option", [("--eval", "b"), ("--hold-out", "0.2")])
def test_pairs_are_not_measured_on_held_out_dialogues(
    option: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("baize_train.cli.finetune.require_training_libraries", lambda: None)
    assert run_here(["finetune", "-o", str(tmp_path), "--preference", "a", *option]) == 1
    assert f"{option[0]} measures dialogues of --data" in capsys.readouterr().err


def test_held_out_dialogues_are_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--eval", "b", "--hold-out", "0.2", "--dry-run")
    assert run_here(["finetune", "-o", "x", "--data", "a", *options]) == 1
    assert "give either --eval or --hold-out" in capsys.readouterr().err


def test_a_dry_run_counts_pairs_and_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step of pairs takes both answers to each question."""
    pairs, marks = tmp_path / "pairs.jsonl", tmp_path / "marks.jsonl"
    prompts = [{"prompt": f"What is number {n}?"} for n in range(9)]
    better, worse = "The river." * 20, "No." * 20
    pairs.write_text(
        "".join(json.dumps({**p, "chosen": better, "rejected": worse}) + "\n" for p in prompts)
    )
    marks.write_text(
        "".join(
            json.dumps({**p, "completion": better, "label": bool(n % 2)}) + "\n"
            for n, p in enumerate(prompts)
        )
    )
    results = []
    for file in (pairs, marks):
        options = ("--preset", "cpu-try", "--batch", "4", "--epochs", "1", "--dry-run")
        command = ["finetune", "-o", "x", "--preference", str(file), *options]
        assert run_here(command) == 0
        text = capsys.readouterr().out
        assert run_here([*command, "--json"]) == 0
        results.append((text, json.loads(capsys.readouterr().out)))
    (text, of_pairs), (marks_text, of_marks) = results
    assert text.startswith("9 pairs of answers: ")
    assert marks_text.startswith("9 marked answers: ")
    assert (of_pairs["steps"], of_marks["steps"]) == (3, 3)
    assert of_pairs["tokens"]["trained"] > 1.5 * of_marks["tokens"]["trained"]
    activations = [result["memory"]["cpu"]["activations"] for result in (of_pairs, of_marks)]
    assert activations[0] == 2 * activations[1]
    single = ["finetune", "-o", "x", "--preference", str(marks), "--micro-batch", "1", "--dry-run"]
    assert run_here(single) == 1
    assert "--micro-batch: it has to be 2 or more" in capsys.readouterr().err


@pytest.mark.training
def test_marked_answers_train_by_preference(tiny_llama: Path, tmp_path: Path) -> None:
    """As ``sessions export --as marks`` writes them; recognised by their records."""
    marks, output = tmp_path / "marks.jsonl", tmp_path / "kto"
    lines = [
        {
            "prompt": [{"role": "user", "content": f"What is number {n}?"}],
            "completion": [{"role": "assistant", "content": f"The river {n}." if n % 3 else "No."}],
            "label": bool(n % 3),
        }
        for n in range(9)
    ]
    marks.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--preset", "cpu-try", "--batch", "4", "--steps", "6", "--learning-rate", "0.02")
    command = ("finetune", "--base", tiny_llama, "--preference", marks, "-o", output, *options)
    single = run(*command, "--micro-batch", "1")
    assert "--micro-batch: it has to be 2 or more" in single.stderr.splitlines()[-1]
    done = run(*command, "--json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)["run"]
    assert (manifest["kind"], manifest["steps"], manifest["finished"]) == ("kto", 6, True)
    losses = [point["loss"] for point in manifest["losses"]]
    assert min(losses[3:]) < losses[0]
    assert weights(output)
    assert read_trained_prompt(output) is not None
    assert "KTO" in (output / "README.md").read_text()


# --- options and config ---------------------------------------------------------------------------


def plan(corpus: Path, *options: object, capsys: Any) -> dict[str, Any]:
    """The result of a dry run."""
    arguments = ["finetune", "--data", corpus, "-o", "x", "--dry-run", "--json", *options]
    assert run_here([str(argument) for argument in arguments]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_a_config_file_replaces_values_of_the_preset_and_options_replace_those(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('batch = 2\nepochs = 3\nmax_length = 64\nmodules = ["q_proj"]\ndora = true\n')
    common = ("--preset", "cpu-try", "--hold-out", "0", "--config", config)
    assert plan(corpus, *common, capsys=capsys)["steps"] == 36
    assert plan(corpus, *common, "--batch", "4", capsys=capsys)["steps"] == 18
    config.write_text("bach = 2\n")
    arguments = ["finetune", "--data", str(corpus), "-o", "x", "--dry-run", *map(str, common)]
    assert run_here(arguments) == 1
    assert "unknown bach; known: rank, alpha" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "rank = 0",
        "alpha = 0",
        "dropout = 2.0",
        "dropout = nan",
        "modules = []",
        'modules = [""]',
        "max_length = 1",
        "batch = 0",
        "batch = 99999999999999999999999",
        "micro_batch = 0",
        "epochs = 0",
        "epochs = inf",
        "learning_rate = 0",
        "learning_rate = nan",
        "warmup_steps = -1",
        "weight_decay = -0.1",
        "neftune = -1.0",
        'rank = "8"',
        'schedule = "exponential"',
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_key(
    line: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(f"{line}\n")
    options = ["--preset", "cpu-try", "--config", str(config), "--dry-run"]
    assert run_here(["finetune", "--data", str(corpus), "-o", "x", *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"baize-train: {config}: ")
    assert f"$.{line.split()[0]}" in error
    assert "unexpected" not in error


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--epochs", "0"),
        ("--learning-rate", "0"),
        ("--seed", "-1"),
        ("--seed", "4294967296"),
        ("--rank", "99999999999"),
        ("--modules", ","),
        ("--modules", ""),
    ],
)
def test_an_option_that_cannot_be_is_refused(
    option: str, value: str, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """NumPy takes no other seeds, and a run without steps or learning rate learns nothing."""
    arguments = ["finetune", "--data", str(corpus), "-o", "x", "--dry-run", option, value]
    assert run_here(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert option.removeprefix("--") in error
    assert "unexpected" not in error


@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ("", (), (8, 16)),
        ("rank = 64", (), (64, 128)),
        ("", ("--rank", "64"), (64, 128)),
        ("rank = 64", ("--rank", "4"), (4, 8)),
        ("alpha = 5", ("--rank", "4"), (4, 5)),
        ("rank = 64\nalpha = 5", (), (64, 5)),
        ("rank = 64", ("--alpha", "5"), (64, 5)),
    ],
)
def test_alpha_follows_a_rank_that_is_chosen_unless_it_is_chosen_too(
    config: str, options: tuple[str, ...], expected: tuple[int, int], tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(config)
    given = dict(zip(options[::2], map(int, options[1::2]), strict=True))
    preset = choose_preset(
        TrainingOptions(output=tmp_path, preset="cpu-try", config=file, alpha=given.get("--alpha")),
        given.get("--rank"),
    )
    assert (preset.rank, preset.alpha) == expected


@pytest.mark.parametrize(
    "options", [("--alpha", "9"), ("--dropout", "0.1"), ("--dora",), ("--rslora",), ("--rank", "4")]
)
def test_a_lora_that_is_continued_keeps_its_settings(
    options: tuple[str, ...], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["finetune", "--data", str(corpus), "-o", "x", "--dry-run", "--adapter", "first"]
    assert run_here([*arguments, *options]) == 1
    error = capsys.readouterr().err
    assert error == (f"baize-train: --adapter continues a LoRA as it is: leave {options[0]} out\n")
    config = tmp_path / "mine.toml"
    name = options[0].removeprefix("--")
    config.write_text(f"{name} = {'true' if len(options) == 1 else options[1]}\n")
    assert run_here([*arguments, "--config", str(config)]) == 1
    assert f"leave {name} out" in capsys.readouterr().err


def test_a_dry_run_names_modules_that_the_base_lacks(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", "--data", str(corpus), "-o", "x", "--dry-run", "--modules"]
    assert run_here([*command, "q_proj,query_proj"]) == 1
    assert "does not have the modules query_proj: name others" in capsys.readouterr().err


@pytest.mark.training
@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        # PEFT leaves it out if the base has another one of them.
        ("--modules", "q_proj,query_proj", "does not have the modules query_proj: name others"),
        (
            *("--rank", "2000000000"),
            "out of memory before the first step: try a lower --rank (now 2000000000)",
        ),
    ],
)
def test_a_lora_that_the_base_cannot_have_is_named(
    option: str, value: str, named: str, tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    command = ("finetune", "--base", tiny_llama, "--data", corpus, "-o", tmp_path / "out", *SMALL)
    done = run(*command, "--steps", "1", option, value)
    assert done.returncode == 1
    assert named in done.stderr.splitlines()[-1]


def test_dialogues_longer_than_the_context_of_the_base_are_counted(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base has never seen their last positions."""
    long = {"question": "Count.", "answer": "word " * 8200}
    with corpus.open("a") as file:
        file.write(json.dumps(long) + "\n")
    common = ("--hold-out", "0", "--max-length")
    command = ["finetune", "--data", str(corpus), "-o", "x", "--dry-run", *common]
    assert run_here([*command, "9000"]) == 0
    assert "1 dialogue longer than the context of the base: --max-length 8192 cuts" in (
        capsys.readouterr().err
    )
    assert run_here([*command, "8192"]) == 0
    assert "context" not in capsys.readouterr().err


@pytest.mark.training
def test_options_of_the_lora_reach_it(tiny_llama: Path, corpus: Path, tmp_path: Path) -> None:
    options = ("--rank", 4, "--alpha", 7, "--modules", "q_proj,v_proj", "--rslora", "--dora")
    more = ("--neftune", 5, "--weight-decay", 0.1, "--schedule", "constant", "--dropout", 0.1)
    finetune(tiny_llama, corpus, tmp_path / "out", "--steps", "2", *options, *more)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 7, 0.1)
    assert set(config["target_modules"]) == {"q_proj", "v_proj"}
    assert config["use_rslora"]
    assert config["use_dora"]


@pytest.mark.parametrize(
    ("option", "package"), [("--flash-attention", "flash-attn"), ("--liger", "liger-kernel")]
)
def test_kernels_that_are_not_installed_are_named(
    option: str,
    package: str,
    corpus: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("baize_train.cli.finetune.require_training_libraries", lambda: None)
    monkeypatch.setattr("baize_train.training.kernels.find_spec", lambda _: None)
    assert run_here(["finetune", "--data", str(corpus), "-o", "x", option]) == 1
    assert capsys.readouterr().err == (
        f"baize-train: {option} needs {package}: pip install {package}\n"
    )


def test_kernels_need_a_gpu() -> None:
    with pytest.raises(TrainError, match="--liger needs an NVIDIA GPU"):
        Kernels(liger=True).require_gpu("cpu")
    Kernels(flash_attention=True, liger=True).require_gpu("cuda")


def test_presets_are_unchanged() -> None:
    """Runs that began before options were added can be resumed."""
    assert PRESETS["modern"].weight_decay == PRESETS["modern"].neftune == 0


def test_pairs_and_marks_do_not_mix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_train.cli.finetune.require_training_libraries", lambda: None)
    pairs, marks = tmp_path / "pairs.jsonl", tmp_path / "marks.jsonl"
    pairs.write_text('{"prompt": "?", "chosen": "Yes.", "rejected": "No."}\n')
    marks.write_text('{"prompt": "?", "completion": "Yes.", "label": true}\n')
    files = ["--preference", str(pairs), "--preference", str(marks)]
    assert run_here(["finetune", "-o", "x", *files]) == 1
    assert "either pairs or marks" in capsys.readouterr().err


@pytest.mark.parametrize("sources", [(), ("--data", "a", "--preference", "b")])
def test_there_is_one_kind_of_data(
    sources: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(["finetune", "-o", "x", "--dry-run", *sources]) == 1
    assert "give either --data or --preference" in capsys.readouterr().err
