"""Recipes and models."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from baize_tui.catalog.identity import model_sha256
from baize_tui.catalog.recipes import (
    CatalogError,
    Recipe,
    find_model,
    known_models,
    read_recipe,
    write_recipe,
)
from baize_tui.catalog.shipped import shipped_models
from baize_tui.paths import Paths


def test_the_embedded_model_is_found_without_importing_its_package(paths: Paths) -> None:
    model = find_model(None, paths)
    assert model.name == "smollm2-135m"
    assert model.path is not None
    assert model.path.name == "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_every_shipped_recipe_is_valid() -> None:
    files = list(shipped_models().glob("*.toml"))
    assert files
    for file in files:
        assert read_recipe(file).license


def test_ones_own_recipe_stands_first_and_comes_back_as_written(
    paths: Paths, tmp_path: Path
) -> None:
    weights = tmp_path / 'odd "name" 你.gguf'
    weights.write_bytes(b"x")
    recipe = Recipe(file=str(weights), title='A "title"', format="baize")
    write_recipe("own", recipe, paths)
    model = known_models(paths)[0]
    assert (model.name, model.path, model.recipe) == ("own", weights, recipe)


def test_a_recipe_whose_file_is_gone_says_so(paths: Paths, tmp_path: Path) -> None:
    write_recipe("gone", Recipe(file=str(tmp_path / "gone.gguf")), paths)
    assert not known_models(paths)[-1].installed
    with pytest.raises(CatalogError, match=r"gone\.gguf"):
        find_model("gone", paths)


def test_a_path_is_a_model(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"x")
    assert find_model(str(file), paths).path == file


@pytest.mark.parametrize(
    ("wanted", "named"), [("nope", "smollm2-135m"), ("no/such.gguf", "no such file")]
)
def test_an_unknown_model_is_named(paths: Paths, wanted: str, named: str) -> None:
    with pytest.raises(CatalogError, match=named):
        find_model(wanted, paths)


def test_without_any_model_the_next_step_is_named(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CatalogError, match="models import"):
        find_model(None, paths)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("title = 'x'\n", "file"),
        ("file = 'x'\nflie = 'y'\n", "flie"),
        ("file = 'x'\n[sampling]\ntop_p = 3\n", "top_p"),
        ("file = ", "Invalid value"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "r.toml"
    file.write_text(text)
    with pytest.raises(CatalogError, match=named) as caught:
        read_recipe(file)
    assert str(file) in str(caught.value)


def test_the_hash_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"weights")
    cache = tmp_path / "cache"
    expected = hashlib.sha256(b"weights").hexdigest()
    assert model_sha256(file, cache) == expected
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "sha256", None)
        assert model_sha256(file, cache) == expected
    file.write_bytes(b"other weights")
    assert model_sha256(file, cache) == hashlib.sha256(b"other weights").hexdigest()
