"""Personas and prompts: files that people write, and those that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_tui.catalog.personas import find_persona, known_personas
from baize_tui.catalog.prompt_snippets import Snippet, known_snippets
from baize_tui.catalog.recipes import CatalogError
from baize_tui.paths import Paths

PIRATE = """
system = "You are a pirate."
description = "Arr"
greeting = "Ahoy!"
moderation = false
stop = ["THE END"]
adapters = { parrot = 0.5 }
[sampling]
temperature = 1.2
"""
PIRATE_AS_MARKDOWN = """---
description: Arr
greeting: Ahoy!
moderation: false
stop: [THE END]
adapters: {parrot: 0.5}
sampling:
  temperature: 1.2
---
You are a pirate.
"""


def write(folder: Path, name: str, content: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(content, "utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "content"), [("pirate.toml", PIRATE), ("pirate.md", PIRATE_AS_MARKDOWN)]
)
def test_a_persona_is_a_file(name: str, content: str, paths: Paths) -> None:
    write(paths.personas_folder, name, content)
    persona = find_persona("pirate", paths)
    assert (persona.system, persona.greeting) == ("You are a pirate.", "Ahoy!")
    assert (persona.moderation, persona.stop) == (False, ("THE END",))
    assert (persona.adapters, persona.sampling) == ({"parrot": 0.5}, {"temperature": 1.2})


def test_what_ships_can_be_used(paths: Paths) -> None:
    personas, snippets = known_personas(paths), known_snippets(paths)
    assert {"baize", "baize-healthcare"} <= personas.contents.keys()
    assert "translate" in snippets.contents
    assert personas.problems == snippets.problems == {}
    assert all(p.description and p.greeting for p in personas.contents.values())
    assert all(s.description for s in snippets.contents.values())


def test_an_own_file_replaces_one_that_ships(paths: Paths) -> None:
    write(paths.personas_folder, "baize.toml", 'system = "Mine."')
    assert find_persona("baize", paths).system == "Mine."


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.toml", "system = 1", "`$.system`"),
        ("a.toml", 'description = "no system"', "`system`"),
        ("a.toml", 'system = ""\nsytem = ""', "`sytem`"),
        ("a.toml", 'system = ""\n[sampling]\ntemperature = -1', "temperature"),
        ("a.toml", 'system = ""\noverflow = "explode"', "overflow"),
        ("a.toml", 'system = ""\nstop = [""]', "stop"),
        ("a.toml", "system = ", "Invalid value"),
        ("a.md", "---\n- a list\n---\ntext", "not a table"),
        ("a.md", "---\n\t: [\n---\ntext", "not YAML"),
        ("a.md", "---\nsystem: a\n---\ntext", "system is the text"),
        ("a.md", "+++\nthink = 3\n+++\ntext", "think"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(
    name: str, content: str, why: str, paths: Paths
) -> None:
    file = write(paths.personas_folder, name, content)
    with pytest.raises(CatalogError) as caught:
        find_persona("a", paths)
    assert str(caught.value).startswith(f"{file}: ")
    assert why in str(caught.value)
    assert "baize" in known_personas(paths).contents, "the others can still be used"


def test_an_unknown_persona_lists_those_that_there_are(paths: Paths) -> None:
    with pytest.raises(CatalogError, match="no persona is called 'nobody'; there are: baize"):
        find_persona("nobody", paths)


def test_a_text_without_fields_is_a_prompt(paths: Paths) -> None:
    write(paths.prompts_folder, "short.md", "Be short about {{topic}}, {{ tone }}.\n")
    snippet = known_snippets(paths).contents["short"]
    assert snippet.asked == {"topic": "", "tone": ""}
    assert snippet.fill({"topic": "{{tone}}", "tone": "kindly"}) == (
        "Be short about {{tone}}, kindly."
    )


@pytest.mark.parametrize("text", ["{{}}", "{{ 3 }}", "{{a.b}}", "{% x %}", "{name}"])
def test_other_braces_stay_as_they_are(text: str) -> None:
    assert Snippet(text).asked == {}
    assert Snippet(text).fill({}) == text


def test_a_variable_that_is_not_in_the_text_is_a_mistake(paths: Paths) -> None:
    write(paths.prompts_folder, "a.toml", 'text = "{{topic}}"\n[variables]\ntopik = "x"\n')
    assert "variables.topik" in known_snippets(paths).problems["a"]
