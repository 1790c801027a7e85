"""Which tokens of a dialogue are trained: rendered as the chat does, by the same code.

A dialogue is the prompt that the chat client would build for the turn after it, cut behind the last
answer. Answers stand in it as ids, which is how the client keeps those that a model generated, so
that where they begin and end is known and not searched for: no template needs marks of its own.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from baize_shared.common_prefix import common_prefix_length
from baize_train.corpus.dialogues import Dialogue
from baize_train.errors import TrainError
from baize_tui.chat.formats import format_named, prompt_of
from baize_tui.engine.bindings import Vocabulary
from baize_tui.engine.fragments import MarkedText, PromptTokenizer
from baize_tui.engine.protocol import Prompt, PromptMessage
from baize_tui.engine.templates import TemplateError, break_markers, render

Loss = Literal["answers", "everything"]
_PROBE = "\U0010fffc"
"""A question in which nothing can be found but itself."""
_THINK = "<think>"


class Unusable(Exception):
    """A dialogue that cannot be trained on; says why."""


class TokenizedDialogue(Struct, frozen=True):
    """Token ids, and for each 1 where it is trained and 0 where it is only read."""

    ids: array[int]
    trained: bytes

    @property
    def count(self) -> int:
        return len(self.ids)

    def cut(self, length: int) -> TokenizedDialogue:
        return TokenizedDialogue(self.ids[:length], self.trained[:length])


class ChatFormat(Struct, frozen=True):
    """How turns become a prompt, for training and for the chat alike."""

    name: str
    """In the registry of prompt formats."""
    template: str
    """The Jinja source; where the format is the model's own, that of the model."""
    system: str
    moderation: bool


class DialogueTokenizer:
    """Dialogues to ids and mask, for one vocabulary and one prompt format."""

    def __init__(self, vocabulary: Vocabulary, format: ChatFormat, loss: Loss = "answers") -> None:
        """Look at how the format opens and ends an answer.

        Raises:
            TrainError: the template fails, or nothing in it ends an answer.
        """
        self._vocabulary = vocabulary
        self._format = format
        self._loss = loss
        self._chosen = format_named(format.name)
        self._tokenizer = PromptTokenizer(vocabulary)
        self._variables = {
            "bos_token": vocabulary.special_text(vocabulary.bos),
            "eos_token": vocabulary.special_text(vocabulary.eos),
        }
        try:
            self._lead, self.end = self._around_an_answer()
        except TemplateError as error:
            raise TrainError(f"the chat template {format.name} fails: {error}") from error
        after_answer = MarkedText(_PROBE + self.end, earlier={_PROBE: (0,)})
        *_, last = self._tokenizer.parts(after_answer)
        self.end_ids = list(last.ids)
        """What an answer ends with: trained, so that the model learns to stop."""

    def tokenize(self, dialogue: Dialogue) -> TokenizedDialogue:
        """The ids of ``dialogue`` and which of them are trained.

        Raises:
            Unusable: no answer is in it, or the template does not write all of them.
        """
        marked = self._rendered(dialogue)
        ids, trained = array("i"), bytearray()
        vocabulary = self._vocabulary
        if vocabulary.add_bos and not marked.text.startswith(self._variables["bos_token"]):
            ids.append(vocabulary.bos)
            trained.append(0)
        after_answer = False
        for part in self._tokenizer.parts(marked):
            ids.extend(part.ids)
            if part.earlier:
                trained.extend(b"\1" * len(part.ids))
            else:
                ends = common_prefix_length(part.ids, self.end_ids) if after_answer else 0
                trained.extend(b"\1" * ends + b"\0" * (len(part.ids) - ends))
            after_answer = part.earlier
        if self._loss == "everything":
            trained = bytearray(b"\1" * len(trained))
        return TokenizedDialogue(ids, bytes(trained))

    def text_of(self, dialogue: Dialogue) -> str:
        """What the ids of ``dialogue`` spell, without a BOS that the template does not write.

        Raises:
            Unusable: see ``tokenize``.
        """
        marked = self._rendered(dialogue)
        spelled = {
            **marked.hidden,
            **{
                char: self._vocabulary.text_of(ids, special=True).decode("utf-8", "replace")
                for char, ids in marked.earlier.items()
            },
        }
        return "".join(spelled.get(char, char) for char in marked.text)

    def prompt_ids(self, turns: Sequence[PromptMessage]) -> list[int]:
        """What the chat client sends for the answer to the last of ``turns``."""
        ids = self._tokenizer.ids(self._render(turns))
        if self._vocabulary.add_bos and ids[:1] != [self._vocabulary.bos]:
            ids.insert(0, self._vocabulary.bos)
        return ids

    def answer_ids(self, text: str) -> list[int]:
        """An answer with what ends it, as it follows ``prompt_ids``."""
        return [*self._answer(text), *self.end_ids]

    def _answer(self, text: str) -> list[int]:
        unbroken = break_markers(text.strip(), self._chosen.markers)
        return self._tokenizer.plain(self._lead + unbroken)

    def _rendered(self, dialogue: Dialogue) -> MarkedText:
        turns = list(dialogue.messages)
        while turns and turns[-1].role != "assistant":
            turns.pop()
        messages = []
        for turn in turns:
            if turn.role != "assistant":
                messages.append(PromptMessage(turn.role, turn.content))
                continue
            if _THINK in turn.content:
                raise Unusable("an answer holds reasoning, which templates take out")
            ids = self._answer(turn.content)
            if not ids:
                raise Unusable("an answer is empty")
            messages.append(PromptMessage("assistant", turn.content.strip(), ids))
        answers = sum(message.role == "assistant" for message in messages)
        if not answers:
            raise Unusable("nothing is answered in it")
        try:
            marked = self._render([*messages, PromptMessage("user", _PROBE)])
        except TemplateError as error:
            raise Unusable(f"the chat template refuses it: {error}") from error
        found = [char for char in marked.earlier if char in marked.text]
        if len(found) != answers:
            raise Unusable("the chat template does not write each of its answers once")
        text = marked.text[: marked.text.index(found[-1]) + 1] + self.end
        if self._lead:
            for char in found:
                text = text.replace(self._lead + char, char)
        return MarkedText(text, marked.hidden, marked.earlier)

    def _render(self, messages: Sequence[PromptMessage]) -> MarkedText:
        return render(
            self._prompt(messages),
            self._format.template,
            self._vocabulary.specials,
            self._variables,
        )

    def _prompt(self, messages: Sequence[PromptMessage]) -> Prompt:
        format = self._format
        first = messages[0]
        if first.role != "system":
            return prompt_of(
                format.name, messages, system=format.system, moderation=format.moderation
            )
        # A dialogue's own system turn takes the place of the usual one.
        prompt = prompt_of(format.name, messages[1:], system=first.content, moderation=False)
        return msgspec.structs.replace(prompt, variables={"moderation": format.moderation})

    def _around_an_answer(self) -> tuple[str, str]:
        """What the template writes between the prompt and an answer, and behind it to its end."""
        question = PromptMessage("user", "?")
        asked = self._render([question]).text
        answered = self._render(
            [question, PromptMessage("assistant", "!", [0]), PromptMessage("user", _PROBE)]
        )
        char = next(iter(answered.earlier), "")
        if not char or char not in answered.text:
            raise TrainError(
                f"the chat template {self._format.name} does not write an answer as it is: choose "
                "another with --format"
            )
        before, behind = answered.text.split(char)
        behind = behind[: behind.index(_PROBE)]
        lead = before.removeprefix(asked) if before.startswith(asked) else ""
        ends = [
            behind.index(special.text) + len(special.text)
            for special in self._vocabulary.specials
            if special.text in behind and self._vocabulary.is_end_of_generation(special.id)
        ] + [behind.index(stop) + len(stop) for stop in self._chosen.stop if stop in behind]
        if not ends:
            raise TrainError(
                f"the chat template {self._format.name} writes nothing that ends an answer, so a "
                "model could not learn to stop: choose another with --format"
            )
        return lead, behind[: min(ends)]
