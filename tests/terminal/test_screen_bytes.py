"""No text from outside reaches the terminal as anything but text, on any screen of the client.

The client runs in a pseudo-terminal, in a home where every source of text is hostile. A new screen
fails here until it is in the table; a new action is pressed without being added.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from textual.screen import ModalScreen

import baize_tui.app
from baize_tui.app.actions import ACTIONS
from baize_tui.app.conversation import looking_inside
from baize_tui.app.conversation.comparing import QUESTION
from baize_tui.app.conversation.conversation_commands import TITLE_QUESTION
from baize_tui.app.conversation.opened_screens import ORGANIZE_TITLE, THEME_QUESTION
from baize_tui.app.conversation.personas import PERSONA_QUESTION, PROMPT_QUESTION
from baize_tui.app.screens import (
    answer_details,
    conversation_options,
    export_dialog,
    import_dialog,
    models,
    prompt_view,
    search,
    settings,
    shelves,
    token_view,
    variables,
)
from baize_tui.app.screens.dialogs import HELP_TITLE
from baize_tui.app.screens.model_import import PATH_QUESTION
from baize_tui.app.screens.picker import SEARCH
from tests.terminal.hostile_world import World
from tests.terminal.pty_session import DOWN, ENTER, ESCAPE, PtySession, has_answered
from tests.terminal.terminal_bytes import assert_harmless, hostile, hostile_name

CTRL_P, CTRL_Q, TAB = "\x10", "\x11", "\t"
F5, F6 = "\x1b[15~", "\x1b[17~"
SCREENS = {
    "HelpScreen": "help",
    "SettingsScreen": "settings",
    "ConversationOptions": "conversation",
    "ModelsScreen": "model",
    "LineDialog": "rename",
    "PathDialog": "model",
    "Palette": "palette",
    "Picker": "compare",
    "SideBySide": "compare",
    "ConfirmDialog": "model",
    "AnswerDetails": "details",
    "ExportDialog": "export",
    "ImportDialog": "import",
    "SearchScreen": "search",
    "BranchMap": "map",
    "BranchComparison": "map",
    "TagsScreen": "tags",
    "ArchivedScreen": "archived",
    "TrashScreen": "trash",
    "DescribedPicker": "persona",
    "VariablesScreen": "prompts",
    "PromptView": "inspect",
    "TokenView": "tokens",
    "NoteDialog": "replay",
}
"""Every screen over the conversation, and the id of the action that leads to it."""
TITLES = {
    "help": HELP_TITLE,
    "settings": settings.TITLE,
    "conversation": conversation_options.THIS_CONVERSATION,
    "model": models.TITLE,
    "rename": TITLE_QUESTION,
    "compare": "Compare",
    "details": answer_details.TITLE,
    "inspect": prompt_view.TITLE,
    "tokens": token_view.TITLE,
    "replay": looking_inside.REPLAY,
    "export": export_dialog.TITLE,
    "import": import_dialog.QUESTION,
    "search": search.TITLE,
    "map": "Branches of",
    "tags": "Tags of",
    "archived": shelves.ARCHIVED,
    "trash": shelves.TRASH,
    "persona": PERSONA_QUESTION,
    "prompts": PROMPT_QUESTION,
}
PICKERS = {"palette": "Commands", "theme": THEME_QUESTION, "organize": ORGANIZE_TITLE}
OF_ENDED_ANSWERS = ("tokens", "replay")
ENDS_OR_LEAVES = ("quit", "suspend", "editor", "view")
FIRST = ("details",)
"""Actions that need the answer that is there at the start."""
LAST = ("delete", "list", "new")
"""Actions after which the conversation is out of sight."""
_NAMED = {"escape": ESCAPE, "up": "\x1b[1;3A", "down": "\x1b[1;3B", "left": "\x1b[1;3D"} | {
    "right": "\x1b[1;3C",
    "home": "\x1b[1;3H",
    "end": "\x1b[1;3F",
    "f1": "\x1bOP",
    "f2": "\x1bOQ",
    "f3": "\x1bOR",
    "f4": "\x1bOS",
    "f12": "\x1b[24~",
}


def key_of(action_id: str) -> str:
    """What a terminal sends for the key of an action."""
    (key,) = [action.key for action in ACTIONS if action.id == action_id]
    modifier, _, name = key.rpartition("+")
    if name in _NAMED:
        return _NAMED[name]
    if modifier == "alt+shift":
        return f"\x1b{name.upper()}"
    return chr(ord(name) & 0x1F) if modifier == "ctrl" else f"\x1b{name}"


def run(client: PtySession, action_id: str) -> None:
    """Press the key of an action, or choose it in the palette if it has none."""
    (action,) = [action for action in ACTIONS if action.id == action_id]
    if action.keys:
        client.type(key_of(action_id))
        return
    client.type(CTRL_P)
    client.wait_for(PICKERS["palette"])
    client.type(f"{action.title}{ENTER}")
    client.wait_for(lambda screen: PICKERS["palette"] not in screen)


def paste(text: str) -> str:
    return f"\x1b[200~{text}\x1b[201~"


@pytest.fixture
def client(world: World) -> Iterator[PtySession]:
    editor = world.folder / "editor.sh"
    text = f"written in the editor {hostile('')}"
    editor.write_text(f"cat > \"$1\" <<'END'\n{text}\nEND\n", "utf-8")
    environment = {"EDITOR": f"sh {editor}"}
    arguments = ("--session", world.session)
    with PtySession(*arguments, columns=160, lines=90, environment=environment) as client:
        client.wait_for("mine + Qsys")  # the model is loaded
        yield client
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    assert_harmless(client.written)


def close(client: PtySession, title: str) -> None:
    client.type(ESCAPE)
    client.wait_for(lambda screen: title not in screen)


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def test_every_screen_is_in_the_table() -> None:
    for module in pkgutil.walk_packages(baize_tui.app.__path__, "baize_tui.app."):
        importlib.import_module(module.name)
    own = {kind for kind in subclasses(ModalScreen) if kind.__module__.startswith("baize_tui.")}
    # ``Dialog`` and others are only bases; ``Picker`` is both.
    without_bases = {kind.__name__ for kind in own if not kind.__subclasses__()} | {"Picker"}
    assert without_bases == set(SCREENS)
    assert set(SCREENS.values()) == {*TITLES, "palette"}


def test_the_conversation_shows_its_sources_as_text(client: PtySession) -> None:
    screen = client.screen
    for tag in (
        "Qtitle",
        "uestion",
        "Qattached",
        "Qform",
        "Qanswer",
        "Qsystem",
        "Qdraft",
        "Qtheme",
        "Qconfig",
    ):
        assert tag in screen, tag
    client.type(key_of("unfold"))
    client.type(key_of("list") + "Qti")
    client.wait_for("search: Qti")


@pytest.mark.sweep
def test_every_action_writes_only_text(client: PtySession) -> None:
    others = {*ENDS_OR_LEAVES, *OF_ENDED_ANSWERS, *FIRST, *LAST}
    ids = {action.id for action in ACTIONS} - others
    for action in (*FIRST, *sorted(ids), *LAST):
        run(client, action)
        if (title := (TITLES | PICKERS).get(action)) is not None:
            client.wait_for(title)
            close(client, title)
        elif action in ("find", "attach", "regex", "grammar"):
            client.type(ESCAPE)
    client.type(key_of("help"))
    client.wait_for(HELP_TITLE)
    close(client, HELP_TITLE)


@pytest.mark.sweep
def test_tokens_and_replays_are_text(client: PtySession) -> None:
    client.type(f"{key_of('new')}Hi{ENTER}")
    client.wait_for("prompt tokens reused")
    for action in OF_ENDED_ANSWERS:
        run(client, action)
        client.wait_for(TITLES[action])
        close(client, TITLES[action])


@pytest.mark.sweep
def test_pastes_are_text(client: PtySession) -> None:
    client.type(paste(f"in the prompt {hostile('')}"))
    client.wait_for("in the prompt")
    for action in ("rename", "model", "compare"):
        client.type(key_of(action))
        client.wait_for(TITLES[action])
        client.type(paste(f"pasted {hostile('')}"))
        client.wait_for("pasted")
        close(client, TITLES[action])
    client.type(CTRL_P)
    client.wait_for(PICKERS["palette"])
    client.type(paste(f"pasted {hostile('')}"))
    client.wait_for("pasted")
    client.type(ESCAPE)
    client.wait_for(lambda screen: "pasted" not in screen)


@pytest.mark.sweep
def test_the_models_screen_and_what_it_opens(client: PtySession, world: World) -> None:
    client.type(key_of("model"))
    client.wait_for(models.TITLE)
    client.wait_for("Qrecipe")
    client.type("elsewhere")
    client.wait_for("elsewhere")
    client.type("\x7f" * len("elsewhere"))
    client.wait_for(SEARCH)
    client.type("lora")
    client.wait_for("Qlora")
    client.type(F5 + F6)
    client.wait_for("Path of a GGUF model")
    client.type(paste(f"/{hostile('Qtyped')}") + ENTER)
    client.wait_for("Qtyped")
    close(client, "Path of a GGUF model")
    close(client, models.TITLE)


def test_names_on_a_hub_are_text(world: World, environment: dict[str, str]) -> None:
    hub = {name: environment[name] for name in ("HF_ENDPOINT", "HF_HOME")}
    with PtySession(columns=160, lines=50, environment=hub) as client:
        client.wait_for("moderated")
        client.type(key_of("model"))
        client.wait_for(models.TITLE)
        client.type(F6)
        client.wait_for(PATH_QUESTION)
        for name, shown in (("names", "Qhub one"), ("outside", "../Qhub")):
            client.type(f"hf:owner/{name}{ENTER}")
            client.wait_for(shown)
            client.type("\x15")  # an empty line again
        client.type(f"hf:owner/weights{ENTER}")
        client.wait_for("Licence: Qhub")
        client.type(ESCAPE)
        client.wait_for(lambda screen: "Licence: Qhub" not in screen)
        client.type(f"hf:owner/outside{ENTER}")  # into the search of the models
        client.wait_for("../Qhub")
        close(client, models.TITLE)
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    assert_harmless(client.written)


@pytest.mark.sweep
def test_personas_and_prompts_are_text(client: PtySession) -> None:
    run(client, "persona")
    client.wait_for(lambda screen: PERSONA_QUESTION in screen and "Qpersona" in screen)
    client.type("mine" + ENTER)
    client.wait_for(lambda screen: PERSONA_QUESTION not in screen and "mine: Qpersona" in screen)
    run(client, "prompts")
    client.wait_for(lambda screen: PROMPT_QUESTION in screen and "Qprompt" in screen)
    client.type("mine" + ENTER)
    client.wait_for(variables.HINT)
    client.type(ENTER)
    client.wait_for(lambda screen: variables.HINT not in screen)


@pytest.mark.sweep
def test_names_of_files_are_text(client: PtySession, world: World) -> None:
    file = world.folder / f"{hostile_name('Qattached')}.txt"
    # With too many control characters it would be no text.
    file.write_text(f"{hostile('Qattached')} inside\n{'text ' * 100}\n", "utf-8")
    client.type(f" @{world.folder}/Qatt")
    client.wait_for("/Qattached")  # its end may be cut off
    client.type(TAB)
    client.wait_for("attached /")


@pytest.mark.sweep
def test_forms_show_values_as_text(client: PtySession) -> None:
    client.type(key_of("settings"))
    client.wait_for(lambda screen: settings.TITLE in screen and "Qconfig" in screen)
    close(client, "differs from the default")
    client.type(key_of("conversation"))
    client.wait_for(lambda screen: TITLES["conversation"] in screen and "Qsystem" in screen)
    close(client, "differs from the default")


@pytest.mark.sweep
def test_the_details_of_an_answer_are_text(client: PtySession) -> None:
    client.type(key_of("details"))
    client.wait_for(lambda screen: answer_details.TITLE in screen and "Qanswer" in screen)
    client.wait_for("Qsampling")
    close(client, answer_details.TITLE)


@pytest.mark.sweep
def test_the_branches_are_text(client: PtySession) -> None:
    client.type(key_of("map"))
    client.wait_for(lambda screen: "Qquestion" in screen and "Qbranch" in screen)
    client.type(F5 + DOWN)
    client.wait_for("press f5 on the branch")
    client.type(F5)
    client.wait_for("esc closes")
    client.type(ESCAPE)
    client.wait_for(lambda screen: "esc closes" not in screen)
    client.type(key_of("rename"))
    client.wait_for("Name of this branch")
    close(client, "Name of this branch")
    close(client, TITLES["map"])


@pytest.mark.sweep
def test_tags_and_what_is_put_away_are_text(client: PtySession) -> None:
    for action, tag in (("tags", "Qtag"), ("archived", "Qput away"), ("trash", "Qput away")):
        run(client, action)
        client.wait_for(TITLES[action])
        client.wait_for(tag)
        client.type("Qtyped")
        client.wait_for("Qtyped")
        close(client, TITLES[action])


def test_what_an_editor_writes_is_text(client: PtySession, world: World) -> None:
    client.type(key_of("editor"))
    client.wait_for("written in the editor")


@pytest.mark.sweep
def test_answers_side_by_side(client: PtySession) -> None:
    client.type(key_of("compare"))
    client.wait_for("Compare")
    client.type(DOWN + ENTER)
    client.wait_for(lambda screen: "esc closes" in screen or QUESTION in screen)
    client.type(ESCAPE)
    client.wait_for(lambda screen: "esc closes" not in screen)


@pytest.mark.sweep
def test_a_model_with_a_hostile_name(world: World) -> None:
    with PtySession("--model", str(world.model), columns=160) as client:
        client.wait_for(lambda screen: "moderated" in screen and "loading" not in screen)
        assert "Qfile" in client.screen
        client.type(f"{hostile('Qtyped')[:6]} hi{ENTER}")
        client.wait_for(has_answered)
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    assert_harmless(client.written)
