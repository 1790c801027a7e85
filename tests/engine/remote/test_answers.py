"""Answers from servers: text, thoughts, counts, options, continuing and stopping."""

from __future__ import annotations

import asyncio
import codecs
import json
from typing import Any

import pytest

from baize_shared.sanitizer import is_harmless
from baize_tui.engine.client import EngineFailure
from baize_tui.engine.protocol import (
    AdapterUse,
    CheckForm,
    Count,
    Delta,
    Prompt,
    PromptMessage,
    Warm,
)
from baize_tui.output_forms import OutputForm
from baize_tui.settings import Sampling
from tests.conftest import wait_until
from tests.engine.remote.asking import ask, loaded, question
from tests.engine.remote.streaming_server import (
    USAGE,
    Handler,
    refuse,
    send,
    send_json,
    serve,
    stream,
    stream_raw,
)


async def test_an_answer_is_streamed_and_counted() -> None:
    with serve(stream("Hello ", "there.")) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
    assert [delta.text for delta in answer.deltas] == ["Hello ", "there."]
    assert not any(delta.ids for delta in answer.deltas)
    end = answer.end
    assert (end.text, end.reason, end.ids, end.notices) == ("Hello there.", "stop", [], [])
    assert (end.stats.prompt_tokens, end.stats.completion_tokens) == (12, 3)
    (sent,) = server.questions
    assert sent["model"] == "plum"
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
    ]
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_a_thought_in_a_field_of_its_own(field: str) -> None:
    answers = stream("\n\nSo ", "<think> stays.", reasoning=["Let me ", "see."], field=field)  # type: ignore[arg-type]
    with serve(answers) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
    assert (answer.reasoning, answer.text) == ("Let me see.", "So <think> stays.")
    assert (answer.end.reasoning, answer.end.text) == ("Let me see.", "So <think> stays.")
    assert [delta.thinking for delta in answer.deltas] == [True, True, False, False]


@pytest.mark.parametrize("cut", range(1, 20))
async def test_a_thought_in_tags_wherever_the_stream_is_cut(cut: int) -> None:
    text = "<think>Let me see.</think>\n\nSo."
    with serve(stream(text[:cut], text[cut:])) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
    assert (answer.reasoning.strip(), answer.text) == ("Let me see.", "So.")
    assert (answer.end.reasoning.strip(), answer.end.text) == ("Let me see.", "So.")


async def test_an_answer_that_turns_out_to_be_a_thought() -> None:
    """The template of the server may have opened it."""
    with serve(stream("Let me see.\n", "</think>", "\n\nSo.")) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
    assert (answer.reasoning.strip(), answer.text) == ("Let me see.", "So.")


@pytest.mark.parametrize(
    "usage",
    [
        None,
        7,
        "many",
        [],
        {},
        {"prompt_tokens": -5, "completion_tokens": 2**80},
        {"prompt_tokens": "12", "completion_tokens": True},
        {"prompt_tokens": 1.5, "completion_tokens": None, "completion_tokens_details": 7},
    ],
    ids=str,
)
async def test_missing_and_false_counts_do_not_matter(usage: object) -> None:
    with serve(stream("Hello ", "there.", usage=usage)) as server:
        async with loaded(server) as engine:
            stats = (await ask(engine)).end.stats
    assert stats.completion_tokens == 2, "the pieces are counted"
    assert 0 < stats.prompt_tokens < 100


async def test_the_end_does_not_wait_for_counts_that_never_come() -> None:
    with serve(stream("Hello.", usage=None, done=False)) as server:
        # After the end of the answer the server says nothing any more.
        inner = server.answers[0]

        def wait_after(handler: Handler) -> None:
            inner(handler)
            handler.wait()

        server.answers = [wait_after]
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "Hello."


async def test_cancelling_closes_the_connection_and_keeps_the_text() -> None:
    with serve(stream("Hello ", "there.", stall_at=1)) as server:
        async with loaded(server) as engine:
            generation = engine.generate(question())
            events = []
            async for event in generation:
                events.append(event)
                if isinstance(event, Delta):
                    generation.cancel()
            await wait_until(server.hung_up.is_set, "the end of the connection")
    end = events[-1]
    assert (end.reason, end.text) == ("cancelled", "Hello ")  # type: ignore[union-attr]


async def test_cancelling_before_the_server_says_anything() -> None:
    with serve(lambda handler: handler.wait()) as server:
        async with loaded(server) as engine:
            generation = engine.generate(question())
            asking = asyncio.create_task(ask_generation(generation))
            await wait_until(lambda: server.questions, "the request")
            generation.cancel()
            assert await asking == "cancelled"
            await wait_until(server.hung_up.is_set, "the end of the connection")


async def ask_generation(generation: object) -> str:
    return [event async for event in generation][-1].reason  # type: ignore[attr-defined,no-any-return]


async def test_whoever_stops_reading_closes_the_connection() -> None:
    with serve(stream("Hello ", "there.", stall_at=1)) as server:
        async with loaded(server) as engine:
            events = aiter(engine.generate(question()))
            await anext(events)
            await events.aclose()  # type: ignore[attr-defined]
            await wait_until(server.hung_up.is_set, "the end of the connection")


async def test_stop_strings_are_found_here_too() -> None:
    stops = ["\n\n", "[|Human|]", "###", "END", "fifth"]
    with serve(stream("One[|Hu", "man|]two ", "three")) as server:
        async with loaded(server) as engine:
            answer = await ask(engine, question(stop=stops, trim_at_stop=True))
    assert (answer.text, answer.end.text) == ("One", "One")
    assert server.questions[0]["stop"] == stops[:4], "servers take no more"


async def test_a_server_that_ignores_the_length_is_cut_off() -> None:
    with serve(stream(*["endless " * 100] * 100)) as server:
        async with loaded(server) as engine:
            answer = await ask(engine, question(max_tokens=2, max_thinking_tokens=0))
    assert answer.end.reason == "length"
    assert len(answer.text) < 2000


@pytest.mark.parametrize("thought", [(), ("Let ", "me ", "see.")])
async def test_the_length_is_that_of_the_answer_without_the_thought(
    thought: tuple[str, ...],
) -> None:
    """A server has one limit for both."""
    with serve(stream("One ", "two ", "three ", "four.", reasoning=thought)) as server:
        async with loaded(server) as engine:
            answer = await ask(engine, question(max_tokens=2, max_thinking_tokens=100))
    assert (answer.text, answer.end.reason) == ("One two ", "length")
    assert answer.end.stats.completion_tokens == 2 + len(thought)
    assert answer.end.stats.thinking_tokens == len(thought)
    assert server.questions[0]["max_tokens"] == 102


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        ("vllm", {"top_k", "min_p", "repetition_penalty"}),
        ("llamacpp", {"top_k", "min_p", "repeat_penalty", "repeat_last_n", "mirostat"}),
        ("library", set()),
        ("someone", {"top_k", "min_p"}),
    ],
)
async def test_each_program_gets_the_options_that_it_knows(owner: str, names: set[str]) -> None:
    ours = {"top_k", "min_p", "repetition_penalty", "repeat_penalty", "repeat_last_n", "mirostat"}
    sampling = Sampling(temperature=0.5, top_p=0.8, presence_penalty=0.5, seed=7)
    with serve() as server:
        server.lists({"id": "plum", "owned_by": owner})
        async with loaded(server) as engine:
            await ask(engine, question(sampling=sampling))
    (sent,) = server.questions
    assert (sent["temperature"], sent["top_p"], sent["presence_penalty"]) == (0.5, 0.8, 0.5)
    assert sent["seed"] == 7
    assert "frequency_penalty" not in sent, "0 is off, and some servers refuse it"
    assert ours & sent.keys() == names


async def test_options_that_a_server_refuses_are_left_out() -> None:
    with serve(refuse(400, "Unrecognized request argument supplied: top_k"), stream("So.")) as it:
        it.lists({"id": "plum", "owned_by": "someone"})
        async with loaded(it) as engine:
            changed = question(sampling=Sampling(top_k=7))
            answer = await ask(engine, changed)
            again = await ask(engine, changed)
    assert answer.end.text == "So."
    assert ["top_k" in sent for sent in it.questions] == [True, False, False], "it is remembered"
    assert answer.end.notices == [f"{it.host} does not take top_k"]
    assert again.end.notices == [], "said once"


async def test_a_server_that_takes_no_options_at_all() -> None:
    refusal = refuse(400, "Unsupported parameter: 'max_tokens'")
    with serve(refusal, refusal, stream("So.")) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "So."
    assert server.questions[-1].keys() == {"model", "messages", "stream", "max_completion_tokens"}


async def test_a_refusal_that_no_option_is_to_blame_for_is_said_as_it_was_first() -> None:
    with serve(refuse(400, "plum is broken"), refuse(400, "odd"), refuse(400, "odder")) as server:
        async with loaded(server) as engine:
            assert (
                await ask(engine)
            ).line == f"{server.host} refuses the request (400): plum is broken"


@pytest.mark.parametrize(
    "reason",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens "
        "(3000 in the messages, 2000 in the completion). Please reduce the length.",
        "This endpoint's maximum context length is 4096 tokens. However, you requested about 5000 "
        "tokens (3000 of text input, 2000 in the output).",
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You "
        "requested a total of 5000 tokens: 3000 tokens from the input messages and 2000 tokens for "
        "the completion.",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3000 "
        "`inputs` tokens and 2000 `max_new_tokens`",
    ],
    ids=["vLLM", "OpenRouter", "SGLang", "TGI"],
)
async def test_an_answer_may_use_what_the_prompt_leaves(reason: str) -> None:
    """Servers refuse a prompt that fits if the answer may be longer than the rest."""
    with serve(refuse(400, reason), stream("So.")) as server:
        async with loaded(server) as engine:
            assert (await ask(engine, question(reserve=500, max_tokens=2000))).end.text == "So."
    assert server.questions[-1]["max_tokens"] == 4096 - 3000 - 1


TOO_LONG = {
    "OpenAI": (
        {
            "message": "This model's maximum context length is 8192 tokens. However, your messages "
            "resulted in 9000 tokens. Please reduce the length of the messages.",
            "code": "context_length_exceeded",
        },
        (9000, 8192),
    ),
    "vLLM": (
        {
            "message": "This model's maximum context length is 512 tokens. However, your request "
            "has 900 input tokens. Please reduce the length of the input messages.",
            "type": "BadRequestError",
            "code": 400,
        },
        (900, 512),
    ),
    "llama-server": (
        {
            "message": "the request exceeds the available context size, try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 700,
            "n_ctx": 512,
        },
        (700, 512),
    ),
    "LM Studio": (
        "Trying to keep the first 900 tokens when context the overflows. However, the model is "
        "loaded with context length of only 512 tokens",
        (0, 512),
    ),
    "Anthropic": ({"message": "prompt is too long: 900 tokens > 512 maximum"}, (900, 512)),
    "Google": (
        {
            "message": "The input token count (900) exceeds the maximum number of tokens allowed "
            "(512)."
        },
        (900, 512),
    ),
    "xAI": (
        "This model's maximum prompt length is 512 but the request contains 900 tokens.",
        (900, 512),
    ),
    "Mistral": (
        "Prompt contains 900 tokens and 0 draft tokens, too large for model with 512 maximum "
        "context length",
        (900, 512),
    ),
    "TabbyAPI": ({"message": "Context length 900 is greater than max_seq_len 512"}, (900, 512)),
    "TGI": (
        "Input validation error: `inputs` must have less than 512 tokens. Given: 900",
        (900, 512),
    ),
    "SGLang": (
        "The input (900 tokens) is longer than the model's context length (512 tokens).",
        (900, 512),
    ),
    "Fireworks": (
        "The prompt is too long: 900, model maximum context length: 512",
        (900, 512),
    ),
    "Moonshot": ("Invalid request: Your request exceeded model token limit: 512", (0, 512)),
    "DashScope": ("Range of input length should be [1, 512]", (0, 512)),
    "behind OpenRouter": (
        {
            "message": "Provider returned error",
            "metadata": {"raw": '{"error": {"message": "too many tokens"}}'},
        },
        (0, 0),
    ),
    "no numbers": ({"message": "prompt is too long"}, (0, 0)),
}


@pytest.mark.parametrize("name", TOO_LONG)
async def test_a_full_context_is_recognized(name: str) -> None:
    error, (tokens, n_ctx) = TOO_LONG[name]
    with serve(send_json({"error": error}, 400)) as server:
        server.lists({"id": "plum", "owned_by": "someone"})
        async with loaded(server) as engine:
            failure = (await ask(engine, question("word " * 300))).failure
    assert failure is not None
    assert failure.kind == "too_long"
    assert failure.tokens == tokens or (not tokens and failure.tokens > 0)
    assert failure.n_ctx == n_ctx or (not n_ctx and failure.n_ctx > 0)
    assert len(server.questions) == 1


async def test_a_full_context_that_only_an_empty_stream_shows() -> None:
    """The server of llama-cpp-python closes the stream, and says why only without one."""
    error = {"message": "maximum context length is 64 tokens", "code": "context_length_exceeded"}
    with serve(stream_raw(), send_json({"error": error}, 400)) as server:
        async with loaded(server) as engine:
            failure = (await ask(engine, question("word " * 300))).failure
    assert failure is not None
    assert (failure.kind, failure.n_ctx) == ("too_long", 64)
    assert server.questions[-1].get("stream") is None


async def test_a_context_that_an_answer_fills_is_no_prompt_that_is_too_long() -> None:
    """As in LM Studio. Otherwise turns would be dropped, and the question asked again, although
    words have come."""
    full = b'event: error\ndata: {"error": {"message": "Context size has been exceeded."}}\n\n'
    with serve(stream_raw(HALVES[0], full), stream_raw(full)) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
            without_words = (await ask(engine)).failure
    assert answer.text == "Hello "
    assert answer.failure is not None
    assert answer.failure.kind == "engine"
    assert answer.line == f"{server.host}: Context size has been exceeded."
    assert without_words is not None
    assert without_words.kind == "too_long"


async def test_counts_are_estimated_and_learned() -> None:
    counted = {"prompt_tokens": 700, "completion_tokens": 1}
    with serve(stream("So.", usage=counted)) as server:
        async with loaded(server) as engine:
            long = question("word " * 500)
            before = await engine.count(Count(0, long.prompt))
            await ask(engine, long)
            after = await engine.count(Count(0, long.prompt))
    assert 300 < before < 1500
    assert abs(after - 700) <= 2
    assert server.received[-1].path.endswith("/chat/completions"), "counting sends nothing"


async def test_reading_ahead_sends_nothing() -> None:
    with serve() as server:
        async with loaded(server) as engine:
            await engine.warm(Warm(0, question("A draft").prompt))
            assert await engine.save_cache() == ""
    assert server.questions == []


PARTIAL = Prompt(
    messages=[PromptMessage("user", "Count")],
    partial=PromptMessage("assistant", "One two", reasoning="Easy."),
)


@pytest.mark.parametrize("owner", ["vllm", "llamacpp", "library"])
async def test_an_answer_is_continued_where_the_server_can(owner: str) -> None:
    with serve(stream(" three.")) as server:
        server.lists({"id": "plum", "owned_by": owner})
        async with loaded(server) as engine:
            answer = await ask(engine, question(prompt=PARTIAL))
    assert (answer.text, answer.end.text) == ("One two three.", "One two three.")
    assert answer.end.reasoning == "Easy."
    (sent,) = server.questions
    assert sent["messages"][-1] == {"role": "assistant", "content": "One two"}
    assert sent.get("continue_final_message", False) is (owner == "vllm")


async def test_what_a_server_cannot_do_is_one_line() -> None:
    with serve() as server:
        server.lists({"id": "plum", "owned_by": "someone"})
        async with loaded(server) as engine:
            continued = await ask(engine, question(prompt=PARTIAL))
            grammar = await ask(engine, question(grammar='root ::= "a"'))
            adapted = await ask(engine, question(adapters=[AdapterUse("/a.gguf")]))
    assert continued.line == f"{server.host} cannot continue an answer: ask for another one"
    assert grammar.line.startswith(f"{server.host} takes no grammar")
    assert adapted.line.startswith("an adapter needs a model on this computer")
    assert server.questions == [], "nothing was sent"


@pytest.mark.parametrize(
    ("owner", "field"), [("llamacpp", "grammar"), ("vllm", "structured_outputs")]
)
async def test_a_grammar_is_never_left_out(owner: str, field: str) -> None:
    with serve(refuse(400, "no"), refuse(400, "no"), stream("a")) as server:
        server.lists({"id": "plum", "owned_by": owner})
        async with loaded(server) as engine:
            await ask(engine, question(grammar='root ::= "a"'))
    assert all(field in sent for sent in server.questions)


SCHEMA = OutputForm("json_schema", '{"type": "object"}', "person.json")
DIGITS = OutputForm("regex", "[0-9]+")
BY_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("owner", "form", "sent"),
    [
        ("someone", SCHEMA, {"response_format": BY_SCHEMA}),
        ("someone", OutputForm("json"), {"response_format": {"type": "json_object"}}),
        ("llamacpp", DIGITS, {"grammar": 'root ::= "a"'}),
        ("vllm", DIGITS, {"structured_outputs": {"regex": "[0-9]+"}}),
    ],
)
async def test_a_form_is_asked_for_in_the_words_of_the_server(
    owner: str, form: OutputForm, sent: dict[str, Any]
) -> None:
    with serve(stream("{}")) as server:
        server.lists({"id": "plum", "owned_by": owner})
        async with loaded(server) as engine:
            await ask(engine, question(grammar='root ::= "a"', form=form))
    (asked,) = server.questions
    assert {key: asked[key] for key in sent} == sent


async def test_a_form_that_a_server_does_not_take_is_found_before_anything_is_sent() -> None:
    with serve() as server:
        server.lists({"id": "plum", "owned_by": "someone"})
        async with loaded(server) as engine:
            await engine.check_form(CheckForm(0, SCHEMA, "root ::= [a]"))
            with pytest.raises(EngineFailure, match="takes no regular expression"):
                await engine.check_form(CheckForm(0, DIGITS, "root ::= [a]"))
    assert server.questions == []


async def test_a_schema_that_is_no_json_is_found_before_anything_is_sent() -> None:
    schema = OutputForm("json_schema", '{"maximum": NaN}', "person.json")
    with serve() as server:
        async with loaded(server) as engine:
            with pytest.raises(EngineFailure, match=r"person\.json: JSON is malformed"):
                await engine.check_form(CheckForm(0, schema, "root ::= [a]"))
    assert server.questions == []


HOSTILE = "\x1b]0;title\x07 \x9b31m \u202e \U000e0041 \ud83d end"


HALVES = (
    b'data: {"choices": [{"index": 0, "delta": {"content": "Hello "}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": "there."}}]}\n\n',
)
ENDS = (
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], '
    b'"usage": {"prompt_tokens": 12, "completion_tokens": 3}}\n\n',
    b"data: [DONE]\n\n",
)


@pytest.mark.parametrize(
    "event",
    [
        b": OPENROUTER PROCESSING\n\n",
        b"id: 1\n\n",
        b"retry: 500\n\n",
        b"data:\n\n",
        b"data: : keepalive\n\n",
        b"event: ping\ndata: {}\n\n",
    ],
    ids=repr,
)
async def test_an_event_that_only_keeps_the_connection_open_is_passed_over(event: bytes) -> None:
    with serve(stream_raw(event, HALVES[0], event, HALVES[1], event, *ENDS)) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "Hello there."


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=repr)
async def test_a_stream_may_begin_with_a_byte_order_mark(end: str) -> None:
    """As programs on Windows write it."""
    events = [event.replace(b"\n", end.encode()) for event in (*HALVES, *ENDS)]
    with serve(stream_raw(codecs.BOM_UTF8[:2], codecs.BOM_UTF8[2:], *events)) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "Hello there."


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\nda"], ids=repr)
async def test_the_last_event_may_lack_its_end(ending: bytes) -> None:
    """Gemini's gateway closes the connection after it, without a mark."""
    last = piece("stop", content="there.").rstrip() + ending
    with serve(stream_raw(HALVES[0], last)) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "Hello there."


async def test_an_event_that_is_cut_off_is_the_middle_of_an_answer() -> None:
    with serve(stream_raw(HALVES[0], HALVES[1][:-9])) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
    assert answer.text == "Hello "
    assert answer.line == f"{server.host} has stopped in the middle of its answer"


async def test_a_stream_may_be_lines_of_json() -> None:
    lines = [event.removeprefix(b"data: ").strip() + b"\n" for event in (*HALVES, ENDS[0])]
    with serve(stream_raw(*lines)) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
    assert [delta.text for delta in answer.deltas] == ["Hello ", "there."]
    assert answer.end.text == "Hello there."


async def test_a_stream_may_be_called_json() -> None:
    with serve(send(b"".join((*HALVES, *ENDS)))) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "Hello there."


@pytest.mark.parametrize("at", [2, 3, 4])
async def test_characters_that_a_server_damages_do_not_end_an_answer(at: int) -> None:
    """Some send a token with half a character as it is; the network cuts whole ones, too."""
    whole, half = "…".encode(), "白".encode()[:2]
    event = HALVES[0].replace(b"Hello", b"He" + whole + b"llo" + half)
    cut = event.index(whole) - 1 + at
    with serve(stream_raw(event[:cut], event[cut:], HALVES[1], *ENDS)) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "He…llo\N{REPLACEMENT CHARACTER} there."


def piece(reason: str | None, usage: object = None, **fields: str) -> bytes:
    choice = {"index": 0, "delta": fields, "finish_reason": reason}
    return b"data: " + json.dumps({"choices": [choice], "usage": usage}).encode() + b"\n\n"


@pytest.mark.parametrize("usage", [None, USAGE], ids=["counted at the end", "always counted"])
@pytest.mark.parametrize(
    ("early", "late"), [("stop", "stop"), ("stop", None), ("null", "null"), ("normal", "normal")]
)
async def test_an_answer_goes_on_after_an_end_that_is_none(
    early: str, late: str | None, usage: object
) -> None:
    """Baidu names an end with each piece; gateways name one where the thought ends."""
    events = [
        piece(early, usage, reasoning_content="Let me see."),
        piece(late, usage, content="Hello "),
        piece(late, usage, content="there."),
        piece("stop", USAGE),
    ]
    with serve(stream_raw(*events)) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
    assert (answer.end.reasoning, answer.end.text) == ("Let me see.", "Hello there.")
    assert answer.end.stats.completion_tokens == USAGE["completion_tokens"]


async def test_a_connection_that_breaks_after_an_end_that_was_none_is_said() -> None:
    def break_off(handler: Handler) -> None:
        handler.head(200, "text/event-stream", None)
        for text in ("Hello ", "there"):
            handler.write_chunk(piece("stop", content=text))
        handler.hang_up()

    with serve(break_off) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
    assert answer.text == "Hello there"
    assert "closed the connection in the middle" in answer.line


@pytest.mark.parametrize("delta", [None, {}], ids=repr)
async def test_an_answer_that_the_last_event_repeats_is_there_once(delta: object) -> None:
    """As MiniMax does."""
    message = {"role": "assistant", "content": "Hello there."}
    choice = {"index": 0, "delta": delta, "message": message, "finish_reason": "stop"}
    last = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    with serve(stream_raw(*HALVES, last), stream_raw(last)) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "Hello there."
            assert (await ask(engine)).end.text == "Hello there.", "it may be all that comes"


async def test_an_answer_that_is_not_streamed_is_read() -> None:
    choice = {"index": 0, "message": {"content": "Hello there."}, "finish_reason": "stop"}
    with serve(send_json({"choices": [choice]})) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "Hello there."


async def test_a_thought_among_the_parts_of_a_content() -> None:
    """As Mistral sends it."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Let me see."}]}
    parts = [[thought], [{"type": "text", "text": "So."}]]
    events = [{"choices": [{"index": 0, "delta": {"content": part}}]} for part in parts]
    raw = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    with serve(stream_raw(*raw, *ENDS)) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
    assert (answer.end.reasoning, answer.end.text) == ("Let me see.", "So.")


async def test_a_refusal_of_the_model_is_its_answer() -> None:
    refusal = b'data: {"choices": [{"index": 0, "delta": {"refusal": "I cannot."}}]}\n\n'
    with serve(stream_raw(refusal, *ENDS)) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "I cannot."


async def test_an_answer_without_text_is_said() -> None:
    """LM Studio sends one where a prompt is longer than the context of some models."""
    with serve(stream(), stream(reasoning=["Let me see."]), stream(reason="length")) as server:
        async with loaded(server) as engine:
            ends = [(await ask(engine)).end for _ in range(3)]
    assert [end.notices for end in ends] == [["the answer of the server has no text"]] * 2 + [[]]


async def test_pieces_of_the_older_interface_are_text() -> None:
    events = [{"choices": [{"index": 0, "text": text}]} for text in ("Hello ", "there.")]
    raw = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    with serve(stream_raw(*raw, *ENDS)) as server:
        async with loaded(server) as engine:
            assert (await ask(engine)).end.text == "Hello there."


async def test_the_call_of_a_tool_is_said_whatever_the_end_is_called() -> None:
    call = b'data: {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]}\n\n'
    with serve(stream_raw(call, *ENDS)) as server:
        async with loaded(server) as engine:
            end = (await ask(engine)).end
    assert end.notices == ["the model wanted to call a tool, which there is none of"]


async def test_hostile_text_is_sanitized_where_it_enters() -> None:
    with serve(stream(HOSTILE, reasoning=[HOSTILE])) as server:
        async with loaded(server) as engine:
            answer = await ask(engine)
    for text in (answer.text, answer.reasoning, answer.end.text, answer.end.reasoning):
        assert text.endswith("end")
        assert all(map(is_harmless, text))
