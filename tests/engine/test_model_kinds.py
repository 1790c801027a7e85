"""A file that cannot chat is refused by name, and a model in several files is one model."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from gguf import GGUFWriter

from baize_shared.split_files import model_files
from baize_tui.engine.adapters import check_adapter
from baize_tui.engine.client import EngineFailure, ModelSpec, WorkerEngine
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.errors import ModelFileError
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.measuring import measure
from baize_tui.engine.model_header import read_model_header, read_model_tensors
from baize_tui.engine.protocol import Load, Measure
from baize_tui.paths import Paths
from tests.engine.gguf_kinds import other_files, write_file, write_split
from tests.engine.lora_files import SMOLLM2_QUERIES, write_lora


async def test_what_cannot_chat_is_refused_by_name_and_ends_no_worker(
    paths: Paths, tmp_path: Path
) -> None:
    engine = WorkerEngine(paths)
    await engine.diagnose()
    worker = engine.worker_pid
    try:
        for file, named in other_files(tmp_path / "kinds").values():
            with pytest.raises(EngineFailure) as loading:
                await engine.load(ModelSpec(str(file)))
            with pytest.raises(EngineFailure) as measuring:
                await engine.measure(str(file), 256)
            for failure in (loading, measuring):
                assert named in str(failure.value)
                assert str(file) in str(failure.value)
        lora = write_lora(tmp_path / "lora.gguf", SMOLLM2_QUERIES)
        with pytest.raises(EngineFailure, match="is an adapter, not a model"):
            await engine.load(ModelSpec(str(lora)))
        assert engine.worker_pid == worker
        assert engine.working_profile is None
    finally:
        await engine.close()


def test_a_header_says_what_the_file_is(tmp_path: Path, smollm2: Path) -> None:
    assert read_model_header(str(smollm2)).problem == ""
    for name, (file, named) in other_files(tmp_path / "kinds").items():
        if name in ("flux", "hyena"):  # only llama.cpp knows its architectures
            assert read_model_header(str(file)).problem == ""
        elif name != "pointer":
            assert named in read_model_header(str(file)).problem


# --- several files --------------------------------------------------------------------------------


def test_a_model_in_several_files_is_one_model(split_model: Path, smollm2: Path) -> None:
    whole, several = read_model_header(str(smollm2)), read_model_header(str(split_model))
    assert several.problem == ""
    assert several.parameters == whole.parameters
    assert several.tensors == whole.tensors
    assert several.file_bytes == sum(file.stat().st_size for file in model_files(split_model))
    tensors = read_model_tensors(str(split_model))
    assert tensors == read_model_tensors(str(smollm2))
    found, wanted = (measure(Measure(0, str(file), 512)) for file in (split_model, smollm2))
    assert found.footprint.weights == wanted.footprint.weights
    assert found.read_bytes_per_token == wanted.read_bytes_per_token


def test_a_model_in_several_files_computes(split_model: Path) -> None:
    engine = LlamaEngine(Load(0, str(split_model), context=256, threads=1), AbortFlag())
    engine.warm_up()
    assert engine.loaded.file_bytes > 98_000_000
    engine.close()


def test_the_first_file_may_have_no_tensors(tmp_path: Path, smollm2: Path) -> None:
    first, *_ = write_split(smollm2, tmp_path, empty_first=True)
    assert read_model_header(str(first)).problem == ""


def test_an_adapter_is_checked_against_all_files(split_model: Path, tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "lora.gguf", SMOLLM2_QUERIES)
    check_adapter(str(lora), str(split_model))
    other = write_lora(tmp_path / "other.gguf", {"blk.29.attn_q.weight": (64, 64)})
    with pytest.raises(ModelFileError, match="another model"):
        check_adapter(str(other), str(split_model))


def test_another_file_than_the_first_is_refused_with_the_first_ones_name(
    split_model: Path,
) -> None:
    second = model_files(split_model)[1]
    problem = read_model_header(str(second)).problem
    assert "split-00002-of-00003.gguf is file 2 of 3 of a model" in problem
    assert "give split-00001-of-00003.gguf" in problem


def test_a_missing_cut_or_renamed_part_is_named(split_model: Path, tmp_path: Path) -> None:
    for file in model_files(split_model):
        shutil.copyfile(file, tmp_path / file.name)
    first, second, third = model_files(tmp_path / split_model.name)
    renamed = first.with_name("renamed.gguf")
    shutil.copyfile(first, renamed)
    assert "name it renamed-00001-of-00003.gguf" in read_model_header(str(renamed)).problem
    third.unlink()
    assert f"{third} is missing: it is file 3 of 3" in read_model_header(str(first)).problem
    shutil.copyfile(second, third)
    with pytest.raises(ModelFileError, match=r"00003-of-00003\.gguf is not file 3"):
        read_model_header(str(first))
    third.write_bytes(model_files(split_model)[2].read_bytes()[:-100])
    with pytest.raises(ModelFileError, match=r"00003-of-00003\.gguf is cut short"):
        read_model_header(str(first))


def test_parts_of_different_models_are_refused(split_model: Path, tmp_path: Path) -> None:
    shutil.copyfile(split_model, tmp_path / split_model.name)
    for number, file in enumerate(model_files(tmp_path / split_model.name)[1:], 1):
        write_file(file, "llama", partial(GGUFWriter.add_uint16, key="split.no", val=number))
    with pytest.raises(ModelFileError, match="not of one model"):
        read_model_header(str(tmp_path / split_model.name))


def test_a_number_of_a_part_in_the_wrong_type_ends_no_worker(
    split_model: Path, tmp_path: Path
) -> None:
    shutil.copyfile(split_model, tmp_path / split_model.name)
    for number, file in enumerate(model_files(tmp_path / split_model.name)[1:], 1):
        write_file(file, "llama", partial(GGUFWriter.add_uint32, key="split.no", val=number))
    with pytest.raises(ModelFileError, match=r"split\.no has the wrong type"):
        read_model_header(str(tmp_path / split_model.name))
