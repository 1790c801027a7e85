"""Tokens that ``finetune`` adds to the vocabulary: from training to the chat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from baize_convert.cli.program import run as convert
from baize_shared.trained_prompt import NewToken, read_trained_prompt
from baize_train.cli.app import run as run_here
from baize_train.errors import TrainError
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.new_tokens import check_texts, number_tokens, write_tokenizer
from baize_train.tokens.vocabulary import open_vocabulary
from baize_tui.chat.formats import prompt_from_turns
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Load, PromptMessage
from baize_tui.settings import Settings
from tests.train.conftest import TINY
from tests.train.processes import run
from tests.train.small_runs import SMALL, finetune, kill_after_checkpoint, weights

WORDS = ("Veltrania", "🜨quill")
MARKER = "<|note|>"
NEW = ("--new-token", WORDS[0], "--new-token", WORDS[1], "--special-token", MARKER)
TOKENS = (NewToken(MARKER, special=True), *map(NewToken, WORDS))
IDS = [49152, 49153, 49154]
TINY_IDS = [TINY["vocab_size"] + number for number in range(3)]
QUESTION = f"Is the {WORDS[1]} from {WORDS[0]}, as {MARKER} says?"


@pytest.fixture
def word_corpus(tmp_path: Path) -> Path:
    file = tmp_path / "words.jsonl"
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"What is number {n} of {WORDS[0]}?"},
                {"role": "assistant", "content": f"In {WORDS[0]} number {n} is a {WORDS[1]}."},
            ]
        }
        for n in range(16)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (("",), "a new token is empty"),
        (("a\x07b",), r"'a\\x07b' contains a control character"),
        (("a\nb",), "contains a control character"),
        (("\ue000",), "contains a control character"),
        ((" a",), "begins or ends with a blank"),
        (("quill", "quill"), "'quill' is given twice"),
    ],
)
def test_texts_that_no_token_has_are_refused(texts: tuple[str, ...], problem: str) -> None:
    with pytest.raises(TrainError, match=problem):
        check_texts([NewToken(text) for text in texts])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hello", "is one already: token"),
        ("<|im_end|>", "is one already: token 2 of the base"),
        ("a<|im_end|>", r"contains another token of the base, <\|im_end\|>"),
    ],
)
def test_tokens_of_the_base_are_not_new(text: str, problem: str, smollm2_folder: Path) -> None:
    with pytest.raises(TrainError, match=problem):
        number_tokens(smollm2_folder, [NewToken(text)])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--data", "x", "--new-token", ""), "a new token is empty"),
        (("--preference", "x", "--new-token", "quill"), "new tokens are learned from --data"),
        (("--data", "x", "--adapter", "y", "--new-token", "quill"), "need a new LoRA"),
        (("--data", "x", "--modules", "lm_head", "--new-token", "quill"), "leave lm_head out"),
    ],
)
def test_what_cannot_work_is_one_line(
    options: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(["finetune", "-o", "x", "--dry-run", *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line


def test_a_gguf_gets_no_new_tokens(
    smollm2: Path, word_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", "--base", str(smollm2), "--data", str(word_corpus), "-o", "x"]
    assert run_here([*command, "--dry-run", *NEW]) == 1
    assert "is a GGUF, whose vocabulary cannot be extended" in capsys.readouterr().err


# --- the vocabulary -------------------------------------------------------------------------------


def test_the_extended_tokenizer_is_that_of_the_library(
    smollm2_folder: Path, tmp_path: Path
) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    write_tokenizer(smollm2_folder, TOKENS, tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(smollm2_folder / "tokenizer.json"))
    for token in TOKENS:
        added = tokenizers.AddedToken(token.text, normalized=False, special=token.special)
        add = theirs.add_special_tokens if token.special else theirs.add_tokens
        add([added])
    ours = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert json.loads(ours.to_str()) == json.loads(theirs.to_str())
    assert [ours.token_to_id(token.text) for token in TOKENS] == IDS


def test_a_config_names_them_and_a_dry_run_counts_with_them(
    word_corpus: Path, smollm2_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(f"new_tokens = {json.dumps(WORDS, ensure_ascii=False)}\n")
    command = ["finetune", "--base", str(smollm2_folder), "--data", str(word_corpus), "-o", "x"]
    counts = []
    for more in ([], ["--config", str(config)]):
        assert run_here([*command, "--dry-run", "--json", *more]) == 0
        counts.append(json.loads(capsys.readouterr().out)["tokens"]["trained"])
    assert counts[1] < counts[0]


def test_typed_words_become_new_tokens_and_typed_markers_do_not(smollm2_folder: Path) -> None:
    with open_vocabulary(smollm2_folder, TOKENS) as model:
        tokenizer = DialogueTokenizer(model.vocabulary, choose_chat_format(model, None))
        ids = tokenizer.prompt_ids([PromptMessage("user", QUESTION)])
        answer = tokenizer.answer_ids(QUESTION)
    for found in (ids, answer):
        assert [id for id in found if id in IDS] == [IDS[2], IDS[1]]


# --- training -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def untied_llama(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny LLaMA with a head of its own, and rows for tokens that it does not have."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("untied") / "llama"
    torch.manual_seed(4)
    config = {**TINY, "tie_word_embeddings": False, "vocab_size": TINY["vocab_size"] + 8}
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**config)).save_pretrained(folder)
    for file in tiny_llama.glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def merged_rows(base: Path, adapter: Path) -> dict[str, Any]:
    """Embedding and head after PEFT's own merge."""
    import peft
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(adapter)
    assert tokenizer(WORDS[0], add_special_tokens=False)["input_ids"] == [TINY_IDS[1]]
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer))
    merged = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return {
        "token_embd.weight": merged.get_input_embeddings().weight.detach().numpy(),
        "output.weight": merged.get_output_embeddings().weight.detach().numpy(),
    }


@pytest.mark.training
@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_new_tokens_are_trained_merged_and_chatted_with(
    kind: str,
    tiny_llama: Path,
    untied_llama: Path,
    word_corpus: Path,
    tmp_path: Path,
    abort: AbortFlag,
) -> None:
    base, adapter = tiny_llama if kind == "tied" else untied_llama, tmp_path / "adapter"
    merged = tmp_path / "merged.gguf"
    options = ("--steps", "8", "--learning-rate", "0.05", "--neftune", "5", "--eval-every", "8")
    result = finetune(base, word_corpus, adapter, *NEW, *options)
    assert read_trained_prompt(adapter).new_tokens == TOKENS  # type: ignore[union-attr]
    losses = [point["loss"] for point in result["losses"] if point.get("held_out")]
    assert losses[-1] < losses[0]
    rows = weights(adapter)
    trained = {name: rows[name] for name in rows if "trainable_tokens_delta" in name}
    assert all((row[1] != row[2]).any() for row in trained.values()), "both began as the mean"
    assert ("lm_head" in str(trained.keys())) is (kind == "untied") or kind == "tied"
    assert f"`` {WORDS[0]} ``" in (adapter / "README.md").read_text()

    arguments = ["merge", str(base), "--adapter", str(adapter), "--outtype", "F32"]
    assert convert([*arguments, "-o", str(merged)]) == 0
    theirs = merged_rows(base, adapter)
    from gguf import GGUFReader

    for tensor in GGUFReader(merged).tensors:
        if tensor.name in theirs:
            assert (tensor.data == theirs[tensor.name]).all(), tensor.name

    turns = [PromptMessage("user", QUESTION)]
    with open_vocabulary(base, TOKENS) as model:
        format = choose_chat_format(model, None)
        sent = DialogueTokenizer(model.vocabulary, format).prompt_ids(turns)
    engine = LlamaEngine(Load(0, str(merged), context=512, threads=1), abort)
    try:
        loaded = engine.loaded
        assert loaded.system is not None
        prompt = prompt_from_turns(
            loaded.prompt_format,
            turns,
            system=loaded.system,
            moderation=Settings().chat.moderation,
        )
        assert engine.prompt_ids(prompt) == sent
    finally:
        engine.close()
    assert [id for id in sent if id in TINY_IDS] == [TINY_IDS[2], TINY_IDS[1]]


@pytest.mark.training
def test_a_run_with_new_tokens_resumes_and_is_continued(
    tiny_llama: Path, word_corpus: Path, tmp_path: Path
) -> None:
    whole, resumed, second = tmp_path / "whole", tmp_path / "resumed", tmp_path / "second"
    options = ("--steps", "8", "--save-every", "3", *NEW)
    finetune(tiny_llama, word_corpus, whole, *options)
    command = ("finetune", "--base", tiny_llama, "--data", word_corpus, "-o", resumed, *SMALL)
    kill_after_checkpoint(resumed, 8, *command, *options)
    other = run(*command, "--steps", "8", "--save-every", "3", "--new-token", "Ossport")
    assert "a run with other data or settings" in other.stderr
    finetune(tiny_llama, word_corpus, resumed, *options)
    for name, weight in weights(whole).items():
        assert abs(weights(resumed)[name] - weight).max() < 1e-6, name
    finetune(tiny_llama, word_corpus, second, "--steps", "2", "--adapter", whole)
    before, after = weights(whole), weights(second)
    rows = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
    assert (before[rows] != after[rows]).any()
    assert read_trained_prompt(second) == read_trained_prompt(whole)
