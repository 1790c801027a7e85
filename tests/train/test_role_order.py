"""Speakers whose template wants a user and an assistant in turns."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata
from hypothesis import given
from hypothesis import strategies as st

from baize_train.corpus.dialogues import Role, Turn
from baize_train.speakers.gguf_speaker import GgufSpeaker, SpeakerOptions
from baize_train.speakers.role_order import in_turns
from baize_train.speakers.speaker import SamplingOptions
from baize_train.speakers.steady_speaker import SteadySpeaker
from baize_tui.paths import project_paths

ROLES: tuple[Role, ...] = ("system", "user", "assistant")
ALTERNATING = """{% if messages[0]['role'] == 'system' %}
{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}
{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Roles must take turns: user, assistant, user, assistant') }}{% endif %}
<|im_start|>{{ m['role'] }}
{{ m['content'] | trim }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


@given(st.lists(st.builds(Turn, st.sampled_from(ROLES), st.text(min_size=1)), min_size=1))
def test_no_word_is_lost_in_turns(messages: list[Turn]) -> None:
    ordered = in_turns(messages)
    assert [turn.role for turn in ordered] == [
        ("user", "assistant")[n % 2] for n in range(len(ordered))
    ]
    text = "\n\n".join(turn.content for turn in ordered)
    assert text.removeprefix("Begin.\n\n") == "\n\n".join(turn.content for turn in messages)
    assert in_turns(ordered) == ordered


@pytest.fixture
def strict_model(shallow_smollm2: Path, tmp_path: Path) -> Path:
    """The first layers of the embedded model, with a template as Mistral's."""
    file = tmp_path / "strict.gguf"
    reader = gguf.GGUFReader(shallow_smollm2)
    writer = gguf.GGUFWriter(file, "llama")
    template = MetadataDetails(gguf.GGUFValueType.STRING, ALTERNATING)
    copy_with_new_metadata(reader, writer, {"tokenizer.chat_template": template}, [])
    return file


async def test_a_model_on_this_machine_is_asked_in_turns(strict_model: Path) -> None:
    speaker = SteadySpeaker(
        [GgufSpeaker("strict", strict_model, project_paths(), SpeakerOptions(max_concurrent=1))]
    )
    messages = [
        Turn("system", "You ask questions about food."),
        Turn("assistant", "What is bread?"),
        Turn("user", "Bread is baked dough."),
    ]
    try:
        for _ in range(2):
            reply = await speaker.reply(messages, SamplingOptions(max_tokens=4, temperature=0))
            assert reply.completion_tokens > 0
    finally:
        await speaker.close()
