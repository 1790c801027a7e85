"""What a person sees and does in the list of models."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from baize_tui.app.screens.models import ModelsScreen
from baize_tui.catalog.fit import Fit
from baize_tui.catalog.plans import Cost, ModelPlan
from baize_tui.footprint import Footprint, Measurement
from tests.app.pilot import is_open
from tests.conftest import wait_until

GB = 10**9


def plan_of(name: str, fit: Fit = "fits", *, installed: bool = True) -> ModelPlan:
    footprint = Footprint(weights=GB, repacked=0, kv=GB // 2, compute=10**7, program=5 * 10**7)
    return ModelPlan(
        name=name,
        installed=installed,
        cost=Cost() if installed else Cost(4 * GB, 13 * GB),
        bytes=4 * GB,
        measured=Measurement(footprint, 4096, 8192, 32, 0, 6144, GB, 10.0 * GB),
        fit=fit,
        tokens_per_second=7.5,
        enough_disk=True,
    )


async def open_models(pilot: Pilot[int]) -> ModelsScreen:
    await pilot.press("alt+m")
    await wait_until(lambda: is_open(pilot, ModelsScreen), "the models")
    await wait_until(lambda: pilot.app.focused is not None, "the focus")
    models = pilot.app.screen
    assert isinstance(models, ModelsScreen)
    return models


def rows(models: ModelsScreen) -> list[str]:
    options = models.query_one(OptionList)
    return [str(options.get_option_at_index(i).prompt) for i in range(options.option_count)]


def row_of(models: ModelsScreen, name: str) -> str:
    return next((row for row in rows(models) if row.split()[:1] == [name]), "")


def notice_text(models: ModelsScreen) -> str:
    return str(models.query_one("#notice", Static).render())


def details(models: ModelsScreen) -> str:
    return " ".join(str(models.query_one("#details", Static).render()).split())


async def find(pilot: Pilot[int], models: ModelsScreen, name: str) -> None:
    models.query_one(Input).value = name
    await wait_until(lambda: rows(models)[:1] and rows(models)[0].split()[0] == name, name)
