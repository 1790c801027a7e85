"""Adapters over a model while it runs: switched, scaled, refused, never mixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_tui.engine.adapters import check_adapter
from baize_tui.engine.llama.errors import ModelFileError
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import AdapterUse, Finished
from tests.engine.lora_files import SHALLOW_QUERIES, SMOLLM2_QUERIES, write_lora
from tests.engine.test_llama_engine import STORY, answer


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters, each strong enough to change the answer."""
    folder = tmp_path_factory.mktemp("loras")
    return [
        write_lora(folder / f"{seed}.gguf", SHALLOW_QUERIES, seed=seed, strength=60)
        for seed in range(2)
    ]


def say(engine: LlamaEngine, *uses: AdapterUse) -> Finished:
    return answer(engine, STORY, max_tokens=16, adapters=list(uses))


def test_adapters_are_switched_without_loading_the_base_again(
    shallow_engine: LlamaEngine, loras: list[Path]
) -> None:
    plain = say(shallow_engine)
    first, second = (say(shallow_engine, AdapterUse(str(lora))) for lora in loras)
    assert len({plain.text, first.text, second.text}) == 3
    both = say(shallow_engine, *(AdapterUse(str(lora)) for lora in loras))
    assert both.text not in (plain.text, first.text, second.text)
    # Back again, to the last token.
    assert say(shallow_engine, AdapterUse(str(loras[0]))).ids == first.ids
    assert say(shallow_engine).ids == plain.ids


def test_what_other_adapters_computed_is_never_reused(
    shallow_engine: LlamaEngine, loras: list[Path]
) -> None:
    lora = str(loras[0])
    say(shallow_engine)
    assert say(shallow_engine).stats.reused_tokens > 0
    assert say(shallow_engine, AdapterUse(lora)).stats.reused_tokens == 0
    assert say(shallow_engine, AdapterUse(lora)).stats.reused_tokens > 0
    assert say(shallow_engine, AdapterUse(lora, 0.5)).stats.reused_tokens == 0
    assert say(shallow_engine).stats.reused_tokens == 0


def test_a_scale_of_zero_is_no_adapter(shallow_engine: LlamaEngine, loras: list[Path]) -> None:
    plain = say(shallow_engine)
    nothing = say(shallow_engine, AdapterUse(str(loras[0]), 0.0))
    assert nothing.ids == plain.ids
    assert nothing.stats.reused_tokens > 0


def test_a_file_that_changed_is_read_again(shallow_engine: LlamaEngine, tmp_path: Path) -> None:
    file = write_lora(tmp_path / "mine.gguf", SHALLOW_QUERIES, seed=5, strength=60)
    before = say(shallow_engine, AdapterUse(str(file)))
    say(shallow_engine)
    file.unlink()
    write_lora(file, SHALLOW_QUERIES, seed=6, strength=60)
    assert say(shallow_engine, AdapterUse(str(file))).ids != before.ids
    say(shallow_engine)


@pytest.mark.parametrize(
    ("shapes", "options", "wrong"),
    [
        (
            {"blk.0.attn_q.weight": (512, 576)},
            {},
            "576 x 576 in this model, .* 576 x 512",
        ),
        ({"blk.99.attn_q.weight": (576, 576)}, {}, "the model has no blk.99.attn_q.weight"),
        ({"token_embd.weight": (576, 49152)}, {}, "which this model's head shares"),
        (SMOLLM2_QUERIES, {"kind": "model"}, "is a model, not an adapter"),
        (SMOLLM2_QUERIES, {"architecture": "qwen2"}, "for the architecture qwen2"),
    ],
)
def test_what_does_not_fit_is_named(
    shapes: dict[str, tuple[int, int]],
    options: dict[str, str],
    wrong: str,
    smollm2: Path,
    tmp_path: Path,
) -> None:
    file = write_lora(tmp_path / "wrong.gguf", shapes, **options)  # type: ignore[arg-type]
    with pytest.raises(ModelFileError, match=wrong) as caught:
        check_adapter(str(file), str(smollm2))
    assert str(file) in str(caught.value)


def test_an_adapter_that_does_not_fit_leaves_the_one_before(
    shallow_engine: LlamaEngine, loras: list[Path], tmp_path: Path
) -> None:
    first = say(shallow_engine, AdapterUse(str(loras[0])))
    wrong = write_lora(tmp_path / "wrong.gguf", {"blk.0.attn_q.weight": (512, 576)})
    with pytest.raises(ModelFileError):
        say(shallow_engine, AdapterUse(str(wrong)))
    with pytest.raises(ModelFileError, match="No such file"):
        say(shallow_engine, AdapterUse(str(tmp_path / "gone.gguf")))
    again = say(shallow_engine, AdapterUse(str(loras[0])))
    assert again.ids == first.ids
    assert again.stats.reused_tokens > 0
