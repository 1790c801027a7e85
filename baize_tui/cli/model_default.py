"""``baize-tui models default``: which model answers in new conversations."""

from __future__ import annotations

from baize_shared.printing import print_json, print_line
from baize_tui.catalog.default_model import name_or_path
from baize_tui.catalog.finding import find_model
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.cli.model_argument import default_model
from baize_tui.cli.output import tell, warn_about_encoding
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import SettingsError, load_settings
from baize_tui.translation import msg, tr

READY_BESIDE = msg(
    "{name} is ready: baize-tui --model {name} ({default} stays the default; 'baize-tui models "
    "default {name}' changes that)"
)
READY = msg(
    "{name} is ready: baize-tui --model {name} (there is no default; 'baize-tui models default "
    "{name}' changes that)"
)
ADAPTER_READY = msg("{name} is ready: baize-tui ask --adapter {name}, or F3 in the client")
NO_DEFAULT = msg("there is no default model now; 'baize-tui models default NAME' chooses one")


def show_or_set_default(name: str | None, *, json: bool) -> None:
    """Print the default model, or make model ``name`` the default."""
    paths = project_paths()
    if name is not None:
        make_default(find_model(name, paths), paths)
    model = find_model(load_settings(paths.settings_file).model.default, paths)
    if json:
        print_json({"name": model.name, "path": str(model.path)})
        return
    warn_about_encoding()
    print_line(model.name)


def make_default(model: CatalogModel, paths: Paths) -> None:
    """Write ``model`` to the settings as the default.

    Raises:
        SettingsError: the file is not valid, or cannot be written.
    """
    # Imported when used: it reads TOML with its comments.
    from baize_tui.settings_file import write_setting

    value = name_or_path(model, lambda name: find_model(name, paths))
    write_setting(paths.settings_file, "model", "default", value)


def forget_chosen_default(name: str, paths: Paths) -> bool:
    """Remove ``name`` from the settings, if it is the default there: it is not installed any more.

    Returns whether it was.

    Raises:
        SettingsError: the file cannot be written.
    """
    from baize_tui.settings_file import write_setting

    try:
        chosen = load_settings(paths.settings_file).model.default
    except SettingsError:  # the commands that read the settings report it
        return False
    if chosen == name:
        write_setting(paths.settings_file, "model", "default", None)
    return chosen == name


def tell_ready(model: CatalogModel, paths: Paths) -> None:
    """Say how to use a model that was added, and which model is the default."""
    default = default_model(paths)
    if default is not None and default.name == model.name:
        tell(tr("{name} is ready, and the default model: baize-tui", name=model.name))
        return
    if default is not None:
        tell(tr(READY_BESIDE, name=model.name, default=default.name))
    else:
        tell(tr(READY, name=model.name))


def tell_default(paths: Paths) -> None:
    """Say which model is the default now, after the one before was removed."""
    default = default_model(paths)
    if default is not None:
        tell(tr("{name} is the default model now", name=default.name))
    else:
        tell(tr(NO_DEFAULT))
