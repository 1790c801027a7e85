"""Lists that are used before their first layout, and while their options change."""

from __future__ import annotations

from typing import Literal

import pytest
from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.widgets import OptionList, Select

from baize_tui.app.widgets.choice_lists import ChoiceList, ChoiceSelect


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield ChoiceList(*"abc", id="hidden")
        yield ChoiceList(*"abc", id="shown")
        yield ChoiceSelect([(letter, letter) for letter in "abc"])

    def on_mount(self) -> None:
        self.query_one("#hidden").display = False


async def test_a_list_without_a_layout_does_not_page() -> None:
    async with Host().run_test() as pilot:
        hidden = pilot.app.query_one("#hidden", ChoiceList)
        before = hidden.highlighted
        hidden.page(1)
        hidden.page(-1)
        await pilot.pause()
        assert hidden.highlighted == before


async def test_a_list_with_a_layout_pages() -> None:
    async with Host().run_test() as pilot:
        shown = pilot.app.query_one("#shown", ChoiceList)
        shown.page(1)
        assert shown.highlighted == 2
        shown.page(-1)
        assert shown.highlighted == 0


@pytest.mark.parametrize("direction", [-1, 1])
async def test_a_select_pages_right_after_it_opens(direction: Literal[-1, 1]) -> None:
    async with Host().run_test() as pilot:
        select = pilot.app.query_one(Select)
        select.expanded = True
        options = select.query_one(OptionList)
        assert isinstance(options, ChoiceList)
        options.page(direction)
        await pilot.pause()
        await pilot.press("pagedown", "enter")
        assert select.value == "c"


async def test_a_click_on_an_option_that_is_gone_chooses_nothing() -> None:
    chosen: list[OptionList.OptionSelected] = []

    class Listening(Host):
        def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
            chosen.append(event)

    async with Listening().run_test() as pilot:
        shown = pilot.app.query_one("#shown", OptionList)
        shown.clear_options()
        on_third = Style(meta={"option": 2})
        shown.post_message(
            events.Click(shown, 1, 1, 0, 0, 1, False, False, False, 1, 1, style=on_third)
        )
        await pilot.pause()
        assert chosen == []
        shown.add_option("d")
        shown.action_first()
        await pilot.click(shown, offset=(2, 1))
        await pilot.pause()
        assert [event.option.prompt for event in chosen] == ["d"]
