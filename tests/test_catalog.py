"""Recipes and models."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from baize_convert.hub.names import HubName
from baize_convert.hub.repository import HubRepository
from baize_convert.merge import merge
from baize_convert.plan import plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_shared.sanitizer import is_harmless
from baize_shared.shipped_models import shipped_models
from baize_shared.split_files import model_files
from baize_tui.catalog.adapters import (
    CatalogAdapter,
    broken_adapters,
    find_adapter,
    known_adapters,
)
from baize_tui.catalog.default_model import remember_default
from baize_tui.catalog.default_record import forget_default
from baize_tui.catalog.draft_models import NO_DRAFT, find_draft
from baize_tui.catalog.finding import broken_models, find_model, known_model, known_models
from baize_tui.catalog.hub_models import hub_model
from baize_tui.catalog.identity import model_sha256
from baize_tui.catalog.importing import ImportOptions, examine_file, import_file
from baize_tui.catalog.planner import plan
from baize_tui.catalog.recipes import (
    CatalogError,
    CatalogModel,
    Recipe,
    read_recipe,
    recipe_file,
    write_recipe,
)
from baize_tui.catalog.removing import remove, remove_adapter
from baize_tui.cli.model_argument import resolve_model
from baize_tui.engine.adapters import check_adapter
from baize_tui.engine.client import EngineFailure
from baize_tui.paths import Paths
from baize_tui.settings import ModelSettings
from tests.convert.make_goldens import BASE, FOLDER


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


def test_every_shipped_adapter_names_a_base_that_exists(paths: Paths) -> None:
    bases = {model.name for model in known_models(paths)}
    adapters = known_adapters(paths)
    assert {adapter.recipe.base for adapter in adapters} <= bases
    assert all(adapter.recipe.license for adapter in adapters)
    assert not {adapter.name for adapter in adapters} & bases


def test_shipped_recipes_contain_no_size_hash_or_revision() -> None:
    """Sizes, hashes and revisions are asked for; what is for research only says so."""
    for file in [*shipped_models().glob("*.toml"), *shipped_models().glob("adapters/*.toml")]:
        text = file.read_text()
        assert not re.search(r"[0-9a-f]{40}|@|revision|sha256", text), file
        if "baize" in file.stem or file.stem == "llama-7b":
            assert "research only" in text
            assert "For research only" in text
    healthcare = read_recipe(shipped_models() / "baize-healthcare-7b.toml")
    assert healthcare.domain is not None
    assert "no medical advice" in healthcare.domain.disclaimer


def test_a_users_own_recipe_is_listed_first_and_read_back_unchanged(
    paths: Paths, tmp_path: Path
) -> None:
    weights = tmp_path / 'odd "name" 你.gguf'
    weights.write_bytes(b"x")
    recipe = Recipe(file=str(weights), title='A "title"', format="baize")
    write_recipe("own", recipe, paths)
    model = known_models(paths)[0]
    assert (model.name, model.path, model.recipe) == ("own", weights, recipe)


def test_a_recipe_with_tables_is_read_back_unchanged(paths: Paths) -> None:
    shipped = read_recipe(shipped_models() / "baize-healthcare-7b.toml")
    assert shipped.sampling
    assert shipped.domain is not None
    assert read_recipe(write_recipe("mine", shipped, paths)) == shipped


def test_a_recipe_whose_file_is_gone_says_so(paths: Paths, tmp_path: Path) -> None:
    write_recipe("gone", Recipe(file=str(tmp_path / "gone.gguf")), paths)
    assert not known_models(paths)[-1].installed
    with pytest.raises(CatalogError, match=r"gone\.gguf"):
        find_model("gone", paths)


def test_a_draft_model_is_the_chosen_one_or_what_the_recipe_suggests(
    paths: Paths, tmp_path: Path
) -> None:
    def named(name: str | None) -> CatalogModel:
        return find_model(name, paths)

    (tmp_path / "large.gguf").write_bytes(b"GGUF")
    large = CatalogModel("large", tmp_path / "large.gguf", Recipe(file="large.gguf"))
    suggesting = msgspec.structs.replace(
        large, recipe=Recipe(file="large.gguf", draft="smollm2-135m")
    )
    elsewhere = msgspec.structs.replace(large, recipe=Recipe(file="large.gguf", draft="qwen3-0.6b"))
    small = named("smollm2-135m")
    assert find_draft(large, None, named) is None
    assert find_draft(large, "smollm2-135m", named) == small.path
    assert find_draft(suggesting, None, named) == small.path
    assert find_draft(suggesting, NO_DRAFT, named) is None
    assert find_draft(elsewhere, None, named) is None, "it is only a suggestion"
    assert find_draft(small, "smollm2-135m", named) is None, "a model does not guess for itself"
    with pytest.raises(CatalogError, match="nosuch"):
        find_draft(suggesting, "nosuch", named)


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
        ("base = 'hf:a/b'\noutype = 'F16'\n", "outype"),
        ("base = 'hf:a/b'\nouttype = 'Q9'\n", "Q9"),
        ("base = 'hf:a'\n", "not a name on the hub"),
        ("repository = 'hf:a/b'\n", "needs a file"),
        ("repository = 'hf:a/b'\nfile = '../x'\n", "not inside"),
        ("repository = 'hf:a/b'\nfile = '/x'\n", "not inside"),
        ("package = 'os'\nfile = '../x'\n", "not inside"),
        ("file = 'a.gguf'\nbase = 'hf:a/b'\n", "one of file"),
        ("file = 'a.gguf'\nadapters = ['hf:a/b']\n", "need a base"),
        ("file = 'x'\n[domain]\nname = 'x'\n", "disclaimer"),
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


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "Upper", "a b", "a..b"])
def test_a_name_cannot_climb_out_of_the_folder(name: str, paths: Paths) -> None:
    with pytest.raises(CatalogError, match="not a valid name"):
        write_recipe(name, Recipe(file="x.gguf"), paths)


def test_recipes_in_the_config_folder_are_listed_with_the_shipped_ones(paths: Paths) -> None:
    paths.recipes_folder.mkdir(parents=True)
    text = "base = 'hf:me/mine'\nadapters = ['~/my-lora']\n"
    (paths.recipes_folder / "mine.toml").write_text(text)
    (model,) = [model for model in known_models(paths) if model.name == "mine"]
    assert model.recipe.origin == "hf:me/mine + ~/my-lora"
    with pytest.raises(CatalogError, match="baize-tui models pull mine"):
        find_model("mine", paths)


# --- adapters -------------------------------------------------------------------------------------


class Headers:
    """An engine whose files have this header, and whose adapters fit unless there is a ``why``."""

    def __init__(self, kind: str, why: str = "") -> None:
        self.name, self.license, self.metadata = "A title", "mit", {"general.type": kind}
        self.why, self.problem, self.file_bytes = why, "", 7

    async def try_model(self, path: str) -> None:
        return

    async def inspect(self, path: str) -> Headers:
        return self

    async def measure(self, path: str, context: int) -> None:
        return

    async def check_adapter(self, path: str, base: str) -> None:
        if self.why:
            raise EngineFailure(self.why)


async def test_an_adapter_is_imported_found_and_removed(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "My LoRA.gguf"
    file.write_bytes(b"weights")
    options = ImportOptions(base="smollm2-135m", copy=True)
    imported = await import_file(file, options, paths, Headers("adapter"))
    assert isinstance(imported, CatalogAdapter)
    assert imported.name == "my-lora"
    assert imported.path == paths.adapters_folder / "my-lora.gguf"
    assert find_adapter("my-lora", paths) == imported
    assert [adapter.name for adapter in known_adapters(paths, "smollm2-135m")] == ["my-lora"]
    assert "my-lora" not in [adapter.name for adapter in known_adapters(paths, "llama-7b")]
    # The same import again, which may have been killed before it ended; but not another one.
    assert await import_file(file, options, paths, Headers("adapter")) == imported
    file.write_bytes(b"changed")
    for other in (options, ImportOptions(base="smollm2-135m"), ImportOptions(copy=True)):
        with pytest.raises(CatalogError, match="exists already"):
            await import_file(file, other, paths, Headers("adapter"))
    assert imported.path.read_bytes() == b"weights"
    assert remove_adapter(imported, paths) == [imported.path]
    with pytest.raises(CatalogError, match="no adapter is called"):
        find_adapter("my-lora", paths)
    assert file.is_file()


@pytest.mark.parametrize("copy", [True, False])
async def test_a_model_can_be_imported_again(copy: bool, paths: Paths, tmp_path: Path) -> None:
    files = [tmp_path / folder / "mine.gguf" for folder in ("one", "other")]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(str(file).encode())
    options = ImportOptions(copy=copy)
    imported = await import_file(files[0], options, paths, Headers("model"))
    assert await import_file(files[0], options, paths, Headers("model")) == imported
    with pytest.raises(CatalogError, match="exists already"):
        await import_file(files[1], options, paths, Headers("model"))
    shipped = ImportOptions(name="smollm2-135m", copy=copy)
    with pytest.raises(CatalogError, match="exists already"):
        await import_file(files[0], shipped, paths, Headers("model"))


async def test_an_adapter_of_another_base_is_not_imported(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "lora.gguf"
    file.write_bytes(b"weights")
    engine = Headers("adapter", "576 x 576 in this model")
    with pytest.raises(EngineFailure, match="576"):
        await import_file(file, ImportOptions(base="smollm2-135m"), paths, engine)
    assert [adapter.name for adapter in known_adapters(paths) if adapter.installed] == []


async def test_the_folder_of_an_adapter_becomes_a_gguf_of_its_base(
    paths: Paths, tmp_path: Path
) -> None:
    base = tmp_path / "base.gguf"
    merge(plan_conversion(BASE, [], parse_outtype("F16")), base)
    write_recipe("base", Recipe(file=str(base)), paths)
    options = ImportOptions(name="plain", base="base")
    imported = await import_file(FOLDER / "plain", options, paths, Headers("model"))
    assert imported.path is not None
    # The same import again, which may have been killed before it ended; but not another one.
    assert await import_file(FOLDER / "plain", options, paths, Headers("model")) == imported
    with pytest.raises(CatalogError, match="exists already"):
        await import_file(FOLDER / "rslora", options, paths, Headers("model"))
    check_adapter(str(imported.path), str(base))
    with pytest.raises(CatalogError, match="--base"):
        await import_file(FOLDER / "plain", ImportOptions(), paths, Headers("model"))
    with pytest.raises(CatalogError, match="converts it to an adapter"):
        find_adapter(str(FOLDER / "plain"), paths)


def test_an_adapter_that_is_not_downloaded_names_the_command(paths: Paths) -> None:
    with pytest.raises(CatalogError, match="baize-tui models pull baize-v1-7b-lora"):
        find_adapter("baize-v1-7b-lora", paths)


async def import_model(file: Path, paths: Paths, **options: Any) -> CatalogModel:
    if not file.exists():
        file.write_bytes(b"weights")
    imported = await import_file(file, ImportOptions(**options), paths, Headers("model"))
    assert isinstance(imported, CatalogModel)
    return imported


async def test_a_path_is_examined_before_anything_else(paths: Paths, tmp_path: Path) -> None:
    engine = Headers("model")
    with pytest.raises(CatalogError, match=r"gone\.gguf: no such file"):
        await examine_file(tmp_path / "gone.gguf", engine)
    found = await examine_file(FOLDER / "plain", engine)
    assert (found.kind, found.name) == ("adapter folder", "plain")
    with pytest.raises(CatalogError, match=r"a checkpoint: 'baize-convert merge"):
        await examine_file(BASE, engine)
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "one.gguf").touch()
    with pytest.raises(CatalogError, match=r"give the file, such as .*one\.gguf"):
        await examine_file(folder, engine)
    engine.problem = "x.gguf is an embedding model"
    with pytest.raises(CatalogError, match="embedding"):
        await import_file(folder / "one.gguf", ImportOptions(), paths, engine)
    (tmp_path / "你好.gguf").touch()
    assert (await examine_file(tmp_path / "你好.gguf", Headers("model"))).name == "model"
    prompt = Headers("adapter")
    prompt.metadata["adapter.type"] = "alora"
    with pytest.raises(CatalogError, match="only LoRA"):
        await examine_file(folder / "one.gguf", prompt)


async def test_importing_never_changes_which_model_is_the_default(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await import_model(tmp_path / "aaa.gguf", paths)
    assert find_model(None, paths).name == "smollm2-135m", "it was here first"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CatalogError, match="the default model, smollm2-135m, is no longer at"):
        find_model(None, paths)


async def test_the_first_model_is_the_default_and_stays_it_under_another_name(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        await import_model(tmp_path / "mmm.gguf", paths)
        await import_model(tmp_path / "aaa.gguf", paths)
        assert find_model(None, paths).name == "mmm"
    assert find_model(None, paths).name == "mmm", "the package was installed later"
    recipe_file("mmm", paths).rename(recipe_file("zzz", paths))
    assert find_model(None, paths).name == "zzz"
    model_sha256(tmp_path / "mmm.gguf", paths.cache)
    remove(find_model("zzz", paths), paths)
    assert find_model(None, paths).name == "aaa"


async def test_a_default_that_is_removed_gives_way_to_the_next(
    paths: Paths, tmp_path: Path
) -> None:
    await import_model(tmp_path / "aaa.gguf", paths)
    bbb = await import_model(tmp_path / "bbb.gguf", paths)
    remember_default(bbb, paths)
    assert find_model(None, paths).name == "smollm2-135m", "one is noted already"
    forget_default(paths)
    remember_default(bbb, paths)
    assert find_model(None, paths).name == "bbb"
    remove(bbb, paths)
    assert find_model(None, paths).name == "aaa"


@pytest.mark.parametrize("copy", [False, True])
async def test_a_model_in_several_files_is_imported_and_removed_as_one(
    copy: bool, paths: Paths, tmp_path: Path
) -> None:
    first = tmp_path / "Big-00001-of-00003.gguf"
    for file in model_files(first):
        file.write_bytes(b"12345")
    model = await import_model(first, paths, copy=copy)
    assert model.name == "big"
    assert find_model("big", paths).file_bytes == 15
    path = find_model("big", paths).path
    assert path is not None
    assert all(file.is_file() for file in model_files(path))
    for other in ("big-7b-of-8", "big-2"):
        await import_model(tmp_path / f"{other}.gguf", paths, copy=True)
    if not copy:
        model_files(first)[2].rename(tmp_path / "away")
        with pytest.raises(CatalogError, match=r"of big is missing: .*00003-of-00003"):
            find_model("big", paths)
    deleted = remove(known_model("big", paths), paths)
    assert len(deleted) == (3 if copy else 0)
    assert sorted(file.name for file in paths.models_folder.glob("*.gguf")) == [
        "big-2.gguf",
        "big-7b-of-8.gguf",
    ]
    with pytest.raises(CatalogError, match=r"give .*Big-00001-of-00003\.gguf instead"):
        find_model(str(model_files(first)[1]), paths)
    with pytest.raises(CatalogError, match="not a valid name"):
        await import_model(first, paths, name="x-00001-of-00002")


async def test_removing_keeps_files_in_other_folders(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"weights")
    linked = await import_file(file, ImportOptions(name="linked"), paths, Headers("model"))
    copied = await import_file(
        file, ImportOptions(name="copied", copy=True), paths, Headers("model")
    )
    assert isinstance(linked, CatalogModel)
    assert isinstance(copied, CatalogModel)
    assert remove(linked, paths) == []
    assert remove(copied, paths) == [paths.models_folder / "copied.gguf"]
    assert file.is_file()
    assert [model.name for model in known_models(paths) if model.installed] == ["smollm2-135m"]
    for name in ("smollm2-135m", "baize-v1-7b"):
        (model,) = [model for model in known_models(paths) if model.name == name]
        with pytest.raises(CatalogError, match=name):
            remove(model, paths)


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


BROKEN_RECIPES = {
    "not-toml": "file = ",
    "deep": "file = " + "[" * 5000,
    "wrong-type": "file = 3",
    "unknown-key": 'file = "m.gguf"\ncolour = "red"',
    "not-utf8": None,
    "imports": 'package = "this.x"\nfile = "m.gguf"',
    "too-hot": 'file = "m.gguf"\n[sampling]\ntemperature = inf',
}


def write_broken_recipes(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, text in BROKEN_RECIPES.items():
        content = b"\xff\xfe" if text is None else text.encode()
        (folder / f"{name}.toml").write_bytes(content)


def test_a_broken_recipe_is_no_obstacle_to_the_others(paths: Paths) -> None:
    before = {model.name for model in known_models(paths)}
    write_broken_recipes(paths.recipes_folder)
    assert {model.name for model in known_models(paths)} == before
    assert find_model("smollm2-135m", paths).installed
    broken = broken_models(paths)
    assert len(broken) == len(BROKEN_RECIPES)
    for name in BROKEN_RECIPES:
        (why,) = (line for line in broken if f"{name}.toml" in line)
        with pytest.raises(CatalogError, match=re.escape(why)):
            find_model(name, paths)


def test_a_broken_recipe_hides_the_shipped_one_of_its_name(paths: Paths) -> None:
    paths.recipes_folder.mkdir(parents=True)
    (paths.recipes_folder / "smollm2-135m.toml").write_text("file = 3")
    with pytest.raises(CatalogError, match=r"smollm2-135m\.toml"):
        find_model("smollm2-135m", paths)


def test_a_broken_recipe_of_an_adapter_is_no_obstacle_either(paths: Paths) -> None:
    write_broken_recipes(paths.recipes_folder / "adapters")
    assert known_adapters(paths)
    assert len(broken_adapters(paths)) == len(BROKEN_RECIPES)
    with pytest.raises(CatalogError, match=r"deep\.toml"):
        find_adapter("deep", paths)


@pytest.mark.parametrize("package", ["this", "__main__", "no_such_package", "json"])
def test_looking_for_a_package_imports_nothing(package: str, paths: Paths) -> None:
    paths.recipes_folder.mkdir(parents=True)
    file = paths.recipes_folder / "mine.toml"
    file.write_text(f'package = "{package}"\nfile = "no such.gguf"')
    sys.modules.pop("this", None)
    with pytest.raises(CatalogError, match="not installed"):
        find_model("mine", paths)
    assert "this" not in sys.modules


def test_a_path_of_a_user_who_does_not_exist_is_missing(paths: Paths) -> None:
    paths.recipes_folder.mkdir(parents=True)
    (paths.recipes_folder / "mine.toml").write_text('file = "~nobody-here/m.gguf"')
    with pytest.raises(CatalogError, match="the file of mine is missing"):
        find_model("mine", paths)
    with pytest.raises(CatalogError, match="no such file"):
        find_model("~nobody-here/m.gguf", paths)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (None, "does not name its base"),
        (
            "/workspace/llama",
            "not a repository on the hub: it is where the base was on the machine",
        ),
        ("./outputs/base", "not a repository on the hub"),
        ("C:\\\\models\\\\base", "not a repository on the hub"),
    ],
)
def test_an_adapter_whose_base_is_not_on_the_hub_says_why(
    named: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_files(monkeypatch, tmp_path, {"adapter_config.json": named})
    with pytest.raises(CatalogError, match=re.escape(reason) if named else reason):
        hub_model("hf:owner/lora")


def test_an_adapter_in_a_folder_of_a_repository_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: dict[str, str | None] = {"checkpoint-500/adapter_config.json": "owner/base"}
    serve_files(monkeypatch, tmp_path, named)
    for name in ("hf:owner/lora", "hf:owner/lora/checkpoint-500"):
        recipe = hub_model(name).recipe
        assert recipe.base == "hf:owner/base"
        assert recipe.adapters == ["hf:owner/lora/checkpoint-500"]
    with pytest.raises(CatalogError, match="no file and no folder other"):
        hub_model("hf:owner/lora/other")


def serve_files(
    monkeypatch: pytest.MonkeyPatch, folder: Path, bases: dict[str, str | None]
) -> None:
    """Let ``hub_model`` find a repository with these configs, each with the base that it names."""
    for file, base in bases.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps({"base_model_name_or_path": base}))

    def open_repository(name: HubName) -> HubRepository:
        return HubRepository(name, "0" * 40, folder, frozenset(bases))

    monkeypatch.setattr("baize_tui.catalog.hub_models.open_repository", open_repository)


# --- recipes as data ------------------------------------------------------------------------------

HOSTILE = "\x1b]0;title\x07\x9b31m\u202e"


def write_own_recipe(paths: Paths, name: str, content: str) -> Path:
    paths.recipes_folder.mkdir(parents=True, exist_ok=True)
    file = paths.recipes_folder / f"{name}.toml"
    file.write_text(content)
    return file


@pytest.mark.parametrize(
    "content",
    [
        'file = "x"\npackage = "this.x"',
        'file = "x"\npackage = "../this"',
        'file = "x"\npackage = ""',
        'file = "x"\ncontext = -1',
        f'file = "x"\ncontext = {10**12}',
        f'file = "x"\ncontext = {"9" * 5000}',
        'file = "x"\n[sampling]\ntemperature = nan',
        "x = " + "[" * 20_000,
        "\udcff",
        "file = 7",
        "",
    ],
)
def test_a_broken_recipe_is_a_warning_and_hides_no_other(content: str, paths: Paths) -> None:
    file = write_own_recipe(paths, "mine", "")
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    before = set(sys.modules)
    (warning,) = broken_models(paths)
    assert warning.startswith(str(file))
    assert "\n" not in warning
    assert "smollm2-135m" in [model.name for model in known_models(paths)]
    assert not {"this", "this.x"} & (set(sys.modules) - before)


@pytest.mark.parametrize(
    "content",
    [
        'file = "~nouser/x.gguf"',
        f'file = "{"x" * 5000}.gguf"',
        r'file = "a\u0000b.gguf"',
        'file = "x"\npackage = "antigravity"',
        'base = "~nouser/folder"',
    ],
)
def test_a_file_that_cannot_exist_is_missing(content: str, paths: Paths) -> None:
    write_own_recipe(paths, "mine", content)
    assert "antigravity" not in sys.modules
    (mine,) = [model for model in known_models(paths) if model.name == "mine"]
    assert not mine.installed
    with pytest.raises(CatalogError, match="mine"):
        find_model("mine", paths)
    assert "antigravity" not in sys.modules


async def test_a_plan_of_a_model_whose_file_is_gone_says_so(tmp_path: Path, paths: Paths) -> None:
    file = tmp_path / "x.gguf"
    file.touch()
    write_own_recipe(paths, "mine", f'file = "{file}"')
    here = find_model("mine", paths)
    file.unlink()
    for model in (here, known_model("mine", paths)):
        with pytest.raises(CatalogError, match=r"x\.gguf"):
            await plan(model, paths, no_engine(), ModelSettings())


def no_engine() -> Any:
    """An engine that nothing is asked of."""
    return None


@pytest.mark.parametrize("name", [HOSTILE, "a\nb", "caf\udce9"])
def test_a_recipe_whose_name_no_screen_can_show_is_reported(name: str, paths: Paths) -> None:
    write_own_recipe(paths, name, 'file = "x"')
    (warning,) = broken_models(paths)
    assert "rename it" in warning
    assert all(map(is_harmless, warning))


def test_what_a_recipe_says_is_text(paths: Paths) -> None:
    hostile = json.dumps(HOSTILE).replace("\\u009b", "\x9b")
    content = f"title = {hostile}\nlicense = {hostile}\nnotice = {hostile}\nbase = {hostile}\n"
    write_own_recipe(paths, "mine", content)
    (mine,) = [model for model in known_models(paths) if model.name == "mine"]
    texts = (mine.title, mine.recipe.license, mine.recipe.notice, mine.recipe.origin)
    assert all(is_harmless(char) for text in texts for char in text)


def test_a_model_in_a_file_with_a_hostile_name(tmp_path: Path, paths: Paths) -> None:
    file = tmp_path / f"{HOSTILE.replace('/', '')}.gguf"
    file.touch()
    model = find_model(str(file), paths)
    assert model.path == file
    assert all(map(is_harmless, model.name))
    with pytest.raises(CatalogError, match="rename it"):
        find_adapter(str(file), paths)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"{}", None])
def test_a_broken_record_of_a_pull_counts_as_none(content: bytes | None, paths: Paths) -> None:
    write_own_recipe(paths, "mine", 'repository = "hf:owner/name"\nfile = "x.gguf"')
    record = paths.models_folder / "mine.pulled.json"
    paths.models_folder.mkdir(parents=True)
    if content is None:
        record.mkdir()
    else:
        record.write_bytes(content)
    assert not known_model("mine", paths).installed


def test_a_known_name_is_no_folder_that_happens_to_be_here(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a home folder with the checkpoint ``llama-7b``, which is the name of a recipe, too."""
    (tmp_path / "llama-7b").mkdir()
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    known = resolve_model("llama-7b", paths, None)
    assert known.recipe.base == "hf:huggyllama/llama-7b"
    for written, folder in (("./llama-7b", "llama-7b"), ("mine", "mine")):
        assert resolve_model(written, paths, None).recipe.base == str(tmp_path / folder)
