"""``baize-tui models pull``: download a model, merging and quantizing it if necessary."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import typer

from baize_shared.commands import INTERRUPTED
from baize_shared.interruption import interruption_text, note_kept_work
from baize_shared.printing import print_json
from baize_shared.progress import TimeLeft, bar
from baize_shared.sizes import size_text
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.finding import known_model, known_models, why_missing
from baize_tui.catalog.fit import this_machine
from baize_tui.catalog.recipes import CatalogModel, check_name, write_recipe
from baize_tui.cli.failures import CommandError
from baize_tui.cli.model_argument import known_adapter, parse_outtype, resolve_model
from baize_tui.cli.model_default import ADAPTER_READY, make_default, tell_ready
from baize_tui.cli.model_output import adapter_json, model_json
from baize_tui.cli.model_plan import make_plan
from baize_tui.cli.output import progress_line, tell
from baize_tui.cli.plan_output import adapter_summary, plan_summary
from baize_tui.measures import left_text
from baize_tui.paths import Paths, project_paths
from baize_tui.shared_texts import tr_shared
from baize_tui.translation import msg, tr

if TYPE_CHECKING:
    from baize_tui.catalog.plans import ModelPlan


NO_BASE = msg(
    "{name} is for {base}, which is not downloaded yet: 'baize-tui models pull {base}' downloads it"
)


@dataclass(frozen=True, slots=True)
class PullOptions:
    """The options of ``models pull``; None means not given."""

    outtype: str | None = None
    name: str | None = None
    """Name of the model on this machine."""
    keep_source: bool = False
    """Keep the weights of a checkpoint in the hub's cache."""
    accept_license: bool = False
    make_default: bool = False
    """Make it the default model."""
    json: bool = False


def pull_model_or_adapter(model: str, options: PullOptions) -> None:
    """Pull what ``model`` names, unless it is installed, and say how to use it."""
    paths = project_paths()
    adapter = known_adapter(model, paths)
    if adapter is not None:
        _pull_adapter(adapter, paths, options)
        return
    resolved = resolve_model(model, paths, parse_outtype(options.outtype))
    wanted = _with_name(resolved, options.name, paths)
    if not wanted.recipe.is_on_hub and not wanted.installed:
        raise CommandError(why_missing(wanted))
    if not wanted.recipe.is_on_hub:
        raise CommandError(
            tr("{name} does not come from the hub; there is nothing to pull", name=wanted.name)
        )
    if wanted.installed and not options.keep_source:
        tell(tr("{name} is already installed: baize-tui --model {name}", name=wanted.name))
    else:
        _pull_model(wanted, paths, options)
    if options.json:
        print_json(model_json(known_model(wanted.name, paths)))


def _pull_model(model: CatalogModel, paths: Paths, options: PullOptions) -> None:
    _show_terms(model, accepted=options.accept_license)
    plan = make_plan(msgspec.structs.replace(model, path=None), paths)
    if options.keep_source:
        plan = _with_source(plan, paths)
    tell(plan_summary(plan))
    if not plan.enough_disk:
        raise CommandError(
            tr("{folder}: too little disk for {name}", folder=paths.models_folder, name=model.name)
        )
    _confirm_terms(model, accepted=options.accept_license)
    _confirm_unfit(plan)
    _download(model, paths, keep_source=options.keep_source)
    if model.name not in {known.name for known in known_models(paths)}:
        write_recipe(model.name, model.recipe, paths)
    pulled = known_model(model.name, paths)
    if options.make_default:
        make_default(pulled, paths)
    tell_ready(pulled, paths)


def _with_source(plan: ModelPlan, paths: Paths) -> ModelPlan:
    """``plan`` with the weights of the checkpoint on the disk too."""
    disk = plan.cost.disk + plan.cost.download
    enough = disk <= this_machine(paths.models_folder).disk_free
    cost = msgspec.structs.replace(plan.cost, disk=disk)
    return msgspec.structs.replace(plan, cost=cost, enough_disk=enough)


def _confirm_unfit(plan: ModelPlan) -> None:
    """Ask before a model is downloaded that does not fit; a script has read the plan.

    Raises:
        CommandError: the person does not want it.
    """
    if plan.fit != "does not fit" or not sys.stdin.isatty():
        return
    question = tr("{name} does not fit this machine. Download it anyway?", name=plan.name)
    if not typer.confirm(question, err=True):
        raise CommandError(tr("nothing was pulled"))


def _download(model: CatalogModel, paths: Paths, *, keep_source: bool) -> None:
    from baize_tui.catalog.pull import pull

    with progress_line() as progress:
        left = TimeLeft()

        def report(done: int, total: int) -> None:
            if done:
                note_kept_work()
            part = done / max(total, 1)
            sizes = tr("{done} of {total}", done=size_text(done), total=size_text(total))
            text = f"{model.name} {bar(part)} {sizes}"
            progress.show(" · ".join(shown for shown in (text, left_text(left, part)) if shown))

        try:
            pull(model, paths, report, keep_source=keep_source)
        except KeyboardInterrupt:
            progress.clear()
            tell(tr_shared(interruption_text()))
            os._exit(INTERRUPTED)  # do not wait for requests that are under way


def _with_name(model: CatalogModel, name: str | None, paths: Paths) -> CatalogModel:
    """``model`` under ``name``; with its file if the same model is installed.

    Raises:
        CommandError: another model has this name.
    """
    if name is not None:
        model = CatalogModel(check_name(name), None, model.recipe)
    for known in known_models(paths):
        if known.name == model.name:
            if known.recipe.origin != model.recipe.origin:
                raise CommandError(
                    tr(
                        "another model is called {name} already; choose a name with --name",
                        name=known.name,
                    )
                )
            same = known.recipe.outtype == model.recipe.outtype
            return msgspec.structs.replace(model, path=known.path if same else None)
    return model


def _pull_adapter(adapter: CatalogAdapter, paths: Paths, options: PullOptions) -> None:
    from baize_tui.catalog.adapter_plan import plan_adapter
    from baize_tui.catalog.pull import pull_adapter

    if adapter.installed:
        tell(tr("{name} is already installed", name=adapter.name))
    else:
        plan = plan_adapter(adapter, paths)
        if not plan.has_base:
            raise CommandError(tr(NO_BASE, name=adapter.name, base=plan.base))
        _show_terms(adapter, accepted=options.accept_license)
        tell(adapter_summary(plan))
        _confirm_terms(adapter, accepted=options.accept_license)
        adapter = pull_adapter(adapter, paths)
        tell(tr(ADAPTER_READY, name=adapter.name))
    if options.json:
        print_json(adapter_json(adapter))


def _show_terms(entry: CatalogModel | CatalogAdapter, *, accepted: bool) -> None:
    """Print the terms of a model, if it has any; a script has to have ``accepted`` them.

    Raises:
        CommandError: it has not, and there is nobody to ask.
    """
    if not entry.recipe.notice:
        return
    tell(entry.recipe.notice)
    if not accepted and not sys.stdin.isatty():
        raise CommandError(
            tr("{name} has terms: read them and add --accept-license", name=entry.name)
        )


def _confirm_terms(entry: CatalogModel | CatalogAdapter, *, accepted: bool) -> None:
    """Ask whether the terms are accepted, unless there are none or they are ``accepted``.

    Raises:
        CommandError: they are not.
    """
    if not entry.recipe.notice or accepted:
        return
    if not typer.confirm(tr("Do you accept its terms?"), err=True):
        raise CommandError(tr("not accepted: nothing was pulled"))
