"""``baize-tui models remove``: remove a model or an adapter that was pulled or imported."""

from __future__ import annotations

from baize_shared.printing import print_json
from baize_tui.catalog.finding import known_model
from baize_tui.catalog.removing import remove, remove_adapter
from baize_tui.cli.model_argument import default_model, known_adapter
from baize_tui.cli.model_default import forget_chosen_default, tell_default
from baize_tui.cli.output import tell
from baize_tui.paths import project_paths
from baize_tui.translation import tr


def remove_model(name: str, *, json: bool) -> None:
    """Remove the model or adapter ``name``; a linked file is not deleted."""
    paths = project_paths()
    adapter = known_adapter(name, paths)
    default, was_default = default_model(paths), False
    if adapter is not None:
        deleted = remove_adapter(adapter, paths)
    else:
        deleted = remove(known_model(name, paths), paths)
        was_chosen = forget_chosen_default(name, paths)
        was_default = was_chosen or (default is not None and default.name == name)
    if json:
        print_json({"name": name, "deleted": [str(file) for file in deleted]})
        return
    if deleted:
        tell(tr("{name} is removed", name=name))
    else:
        tell(tr("{name} is removed; its file was not deleted", name=name))
    if was_default:
        tell_default(paths)
