"""How often a growing answer is drawn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.app import App

from baize_tui.app.conversation.drawing_rate import DrawingRate
from tests.conftest import wait_until


class Clock:
    """The seconds that the drawing rate sees."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@asynccontextmanager
async def drawing(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[DrawingRate, Clock, list[float]]]:
    clock, drawn = Clock(), list[float]()
    monkeypatch.setattr("baize_tui.app.conversation.drawing_rate.time", clock)
    app: App[None] = App()
    async with app.run_test():
        rate = DrawingRate(app.screen, lambda: drawn.append(clock.now))
        yield rate, clock, drawn
        rate.stop()


async def test_text_that_arrives_slowly_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with drawing(monkeypatch) as (rate, clock, drawn):
        for _ in range(3):
            rate.text_added()
            clock.now += 0.1
        assert len(drawn) == 3


async def test_text_that_arrives_too_soon_is_drawn_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with drawing(monkeypatch) as (rate, clock, drawn):
        rate.text_added()
        clock.now += 0.01
        rate.text_added()
        rate.text_added()
        assert drawn == [1000.0]
        await wait_until(lambda: drawn == [1000.0, 1000.01], "the drawing")


async def test_nothing_is_drawn_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with drawing(monkeypatch) as (rate, clock, drawn):
        rate.per_second = 1000
        rate.text_added()
        rate.text_added()
        rate.stop()
        clock.now += 1
        rate.text_added()
        assert drawn == [1000.0, 1001.0]


async def test_text_is_drawn_less_often_while_every_core_computes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("baize_tui.app.conversation.drawing_rate.usable_cpus", lambda: 2)
    async with drawing(monkeypatch) as (rate, clock, drawn):
        rate.model_uses(2)
        for _ in range(4):
            rate.text_added()
            clock.now += 0.1
        assert [round(at, 1) for at in drawn] == [1000.0, 1000.2]
