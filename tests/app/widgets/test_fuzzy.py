"""Which items a fuzzy search finds, and in which order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from baize_tui.app.widgets.fuzzy import best_matches

TITLES = [f"{word} {number}" for number in range(300) for word in ("a bread", "Bread", "abroad")]


def test_the_best_come_first_also_among_many() -> None:
    few = best_matches("bread", ["a broad meadow", "Sourbread", "bread"], str)
    assert few == ["bread", "Sourbread", "a broad meadow"]
    many = best_matches("brea", [*TITLES, "cobread"], str)
    assert many[:2] == ["a bread 0", "Bread 0"]
    assert many[-1] == "cobread"


@given(st.text("abcAB ", max_size=6), st.lists(st.text("abcAB ", max_size=10), max_size=8))
def test_what_has_the_letters_in_their_order_is_found(query: str, items: list[str]) -> None:
    def has_letters(text: str) -> bool:
        rest = iter(text.lower())
        return all(letter in rest for letter in query.lower())

    wanted = [item for item in items if has_letters(item)] if query.strip() else items
    assert sorted(best_matches(query, items, str)) == sorted(wanted)
    many = [item for item in items for _ in range(600)]
    assert {*best_matches(query, many, str)} == {*wanted}
