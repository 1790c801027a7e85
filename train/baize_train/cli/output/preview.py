"""What ``data preview`` prints: text coloured by what training does with it."""

from __future__ import annotations

from baize_shared.printing import print_line
from baize_shared.sanitizer import clean_line
from baize_train.tokens.dialogue_tokenizer import TokenizedDialogue
from baize_tui.engine.bindings import Vocabulary


class PreviewPrinter:
    """Prints dialogues in colours, or with brackets where there are none."""

    def __init__(self, vocabulary: Vocabulary, max_length: int) -> None:
        # Imported here: rich is not needed to start the program.
        from rich.console import Console

        self._vocabulary, self._max_length = vocabulary, max_length
        self._console = Console(highlight=False)
        self._brackets = self._console.color_system is None or self._console.no_color

    def print_skipped(self, place: str, reason: str) -> None:
        """A record that is not trained on."""
        print_line(f"{place}: skipped: {reason}")

    def print_dialogue(self, place: str, tokens: TokenizedDialogue) -> None:
        """The text of a dialogue, and how many tokens are used in which way."""
        from baize_train.tokens.preview import STYLES, preview, token_uses

        uses = [use for _, use in token_uses(tokens, self._max_length)]
        text = preview(tokens, self._vocabulary, self._max_length, brackets=self._brackets)
        self._console.print(clean_line(place), style="bold", markup=False)
        self._console.print(text)
        self._console.print()
        for use, style in STYLES.items():
            self._console.print(f"{uses.count(use):>8,} {use}", style=style)
