"""Recipes: one TOML file per model says where its weights are and how to prompt it.

Weights are in a local file, in a Python package, in a GGUF on the hub, or made from a checkpoint on
the hub and adapters; or they stay on a server that answers questions. A recipe has no size and no
hash: those come from the hub.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Generic, Self, TypeVar

import msgspec
from msgspec import Meta, Struct

from baize_convert.failures import ConvertError
from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_convert.quantization.outtype_names import OuttypeName
from baize_shared.atomic_files import write_atomically
from baize_shared.number_limits import LARGEST_INT
from baize_shared.one_line_error import OneLineError
from baize_shared.private_files import private_folder
from baize_shared.sanitizer import clean_line, clean_text
from baize_shared.server_address import (
    AddressError,
    ServerAddress,
    parse_address,
)
from baize_shared.split_files import model_bytes, parse_split_name
from baize_shared.toml_files import TomlError, read_toml
from baize_tui.paths import Paths
from baize_tui.settings import Sampling
from baize_tui.shared_texts import NAMED, file_error, tr_shared
from baize_tui.translation import msg, tr

MODEL_SUFFIX = ".gguf"
DEFAULT_OUTTYPE: OuttypeName = "Q4_K_M"
RecipeT = TypeVar("RecipeT", bound="RecipeFields")
_LONGEST_ORIGIN = 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class CatalogError(OneLineError):
    """A model cannot be found or used; the message names it and the next step."""


NO_MODEL_INSTALLED = msg(
    "no model is installed. 'baize-tui models list' shows those that 'baize-tui models pull' can "
    "download; 'baize-tui models import FILE.gguf' adds your own"
)


class NoModelInstalled(CatalogError):
    """There is no model on this machine."""

    def __init__(self) -> None:
        super().__init__(tr(NO_MODEL_INSTALLED))


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


ONLY_A_REPOSITORY = msg("repository is hf:owner/name; what is in it goes into file")


class Recipe(RecipeFields, frozen=True):
    """The recipe of a model; its weights are in one of ``file``, ``repository``, ``base`` and
    ``server``."""

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
    server: str | None = None
    """``server:URL#model`` of an OpenAI-compatible server."""
    outtype: OuttypeName = DEFAULT_OUTTYPE
    """The type that a checkpoint is quantized to."""
    parameters: Annotated[int, Meta(gt=0)] | None = None
    """How many weights it has, for an estimate of its size before the hub is asked."""
    stop: list[str] = []
    """Strings that end an answer, in addition to those of the format."""
    context: Annotated[int, Meta(ge=0, le=LARGEST_INT)] | None = None
    draft: str | None = None
    """A model with the same vocabulary that guesses what this one will write."""
    sampling: dict[str, Any] = {}

    def __post_init__(self) -> None:
        file = self.file if self.repository is None else None
        places = (file, self.repository, self.base, self.server)
        if sum(place is not None for place in places) != 1:
            raise ValueError(tr("give one of file, repository (with file), base and server"))
        if self.server is not None:
            try:
                parse_address(self.server)
            except AddressError as error:
                raise ValueError(tr_shared(error)) from error
        if self.package is not None and self.file is None:
            raise ValueError(tr("package needs a file in it"))
        if self.package is not None and not self.package.isidentifier():
            raise ValueError(
                tr("package {name} is not the name of a package", name=repr(self.package))
            )
        if self.adapters and self.base is None:
            raise ValueError(tr("adapters need a base"))
        if self.repository is not None and self.file is None:
            raise ValueError(tr("repository needs a file in it"))
        if (self.package or self.repository) and not _stays_inside(self.file or ""):
            raise ValueError(tr("the file {file} is not inside its folder", file=repr(self.file)))
        if why := later_part(self.file or ""):
            raise ValueError(why)
        try:
            for name in (self.base or "", *self.adapters):
                if name.startswith(HUB_PREFIX):
                    parse_name(name)
            if self.repository is not None and parse_name(self.repository).subfolder:
                raise ValueError(tr(ONLY_A_REPOSITORY))
        except ConvertError as error:
            raise ValueError(str(error)) from error

    @property
    def address(self) -> ServerAddress | None:
        """The server that has the model; None for a model on this computer."""
        return parse_address(self.server) if self.server is not None else None

    @property
    def is_on_hub(self) -> bool:
        """Whether its weights have to be pulled."""
        return self.repository is not None or self.base is not None

    @property
    def origin(self) -> str:
        """Where the weights come from, for a person."""
        if self.base is not None:
            return clean_line(" + ".join((self.base, *self.adapters)), _LONGEST_ORIGIN)
        if self.repository is not None:
            return clean_line(f"{self.repository}/{self.file}", _LONGEST_ORIGIN)
        if (address := self.address) is not None:
            return clean_line(address.spec, _LONGEST_ORIGIN)
        return self.package or ""


LATER_PART = msg("{file} is file {number} of {count} of a model: give {first} instead")


def later_part(file: str) -> str:
    """What to do about the name of a file that is not the first of a model; empty if it is."""
    split = parse_split_name(file)
    if split is None or split.number == 1:
        return ""
    first = split.with_number(1)
    return tr(LATER_PART, file=file, number=split.number, count=split.count, first=first)


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

    @property
    def file_bytes(self) -> int | None:
        """Size of its files; None if it is not on this machine, or no longer."""
        try:
            return model_bytes(self.path) if self.path is not None else None
        except OSError:
            return None


class CatalogModel(CatalogEntry[Recipe], frozen=True):
    """A model."""

    @property
    def can_answer(self) -> bool:
        """Whether there is something to load: a file on this machine, or a server."""
        return self.installed or self.recipe.server is not None

    @property
    def location(self) -> str:
        """What finds the model again, whatever it is called: a path, or ``server:URL#model``."""
        address = self.recipe.address
        return str(self.path) if address is None else address.spec

    @property
    def words_go_to(self) -> str:
        """The other computer that reads the conversations with this model; empty for none."""
        address = self.recipe.address
        return "" if address is None or address.is_this_computer else address.host


def read_recipe_fields(file: Path, kind: type[RecipeT]) -> RecipeT:
    """Read and check one recipe.

    Raises:
        CatalogError: not readable, or not a recipe; the message names file and key.
    """
    try:
        return read_toml(file, kind, clean=False).cleaned()
    except OSError as error:
        raise CatalogError(file_error(file, error)) from error
    except TomlError as error:
        raise CatalogError(tr(NAMED, name=file, why=tr_shared(error))) from error


def read_recipe(file: Path) -> Recipe:
    """Read and check the recipe of a model.

    Raises:
        CatalogError: see ``read_recipe_fields``; or invalid sampling options.
    """
    recipe = read_recipe_fields(file, Recipe)
    try:
        msgspec.convert(recipe.sampling, Sampling)
    except msgspec.ValidationError as error:
        raise CatalogError(tr(NAMED, name=file, why=tr_shared(error))) from error
    return recipe


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
                check_can_be_shown(file.stem, file)
                found.recipes[file.stem] = read(file)
            except CatalogError as error:
                found.broken[file.stem] = str(error)
    return found


def check_can_be_shown(name: str, file: Path) -> None:
    """Check the ``name`` of a model or adapter that ``file`` gives it: screens show it.

    Raises:
        CatalogError: a terminal could obey it.
    """
    if "\n" in name or clean_text(name) != name:
        raise CatalogError(
            tr("{file}: its name has characters that no screen can show: rename it", file=file)
        )


INVALID_NAME = msg("{name} is not a valid name: use a-z, 0-9, '.', '_' and '-'")


def check_name(name: str) -> str:
    """``name``, if it is a valid name for a model.

    Raises:
        CatalogError: it would leave the folder of models, or be hard to type.
    """
    if not _NAME.fullmatch(name) or ".." in name or parse_split_name(f"{name}{MODEL_SUFFIX}"):
        raise CatalogError(tr(INVALID_NAME, name=repr(clean_line(name))))
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

    write_atomically(target, tomlkit.dumps(msgspec.to_builtins(recipe)).encode())
    return target
