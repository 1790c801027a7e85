"""Judges and their scores, with a server that a test scripts; and the table of eval."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from baize_train.corpus.dialogues import Turn
from baize_train.evaluation.comparison import compare_answers, first_questions
from baize_train.feedback.candidates import ANSWERS_FILE, Candidates, sample_candidates
from baize_train.feedback.judge import (
    JudgeOptions,
    NoScoresError,
    judge_answers,
    judge_prompt,
    parse_scores,
    presentation_orders,
    score_grammar,
)
from baize_train.feedback.preferences import find_preferences
from baize_train.feedback.scoring import SCORES_FILE, Scores, score_candidates
from baize_train.speakers.speaker import Reply, SamplingOptions, Speaker
from baize_train.speakers.specs import ServerAccess, open_speaker
from baize_tui.engine.llama_engine import LlamaEngine
from tests.train.conftest import corpus_lines
from tests.train.processes import run
from tests.train.scripted_server import serve

QUESTION = [Turn("user", "What is a fox?")]


class Judge:
    """Replies with what a function of the shown answers returns."""

    name = "a judge"
    max_concurrent = 4
    supports_grammars = False

    def __init__(self, respond: Callable[[list[str]], str]) -> None:
        self._respond = respond
        self.asked: list[list[str]] = []

    async def reply(self, messages: list[Turn], options: SamplingOptions) -> Reply:
        shown = re.findall(r"\[Begin of answer \d+\]\n(.*?)\n\[End", messages[-1].content, re.S)
        self.asked.append(shown)
        return Reply(self._respond(shown), True, 1, 1)

    async def close(self) -> None:
        pass


def by_length(answers: list[str]) -> str:
    return " ".join(str(min(100, len(item))) for item in answers)


def by_position(answers: list[str]) -> str:
    return " ".join(str(90 - 20 * position) for position in range(len(answers)))


def mean_scores(
    respond: Callable[[list[str]], str], answers: list[str], passes: int = 2
) -> list[float]:
    speaker: Speaker = Judge(respond)  # type: ignore[assignment]
    return asyncio.run(judge_answers(speaker, QUESTION, answers, JudgeOptions(passes))).means


def test_each_order_has_its_reverse() -> None:
    result = presentation_orders(4, 4, seed=7)
    assert [sorted(item) for item in result] == [[0, 1, 2, 3]] * 4
    assert result[1] == result[0][::-1]
    assert result[3] == result[2][::-1]
    assert result == presentation_orders(4, 4, seed=7)


def test_scores_belong_to_the_answers_in_any_order() -> None:
    assert mean_scores(by_length, ["a" * 10, "b" * 30, "c" * 20]) == [10, 30, 20]


def test_a_judge_that_scores_positions_prefers_no_answer() -> None:
    means = mean_scores(by_position, ["one", "two", "three", "four"])
    assert len(set(means)) == 1


def test_the_judge_sees_the_dialogue_and_no_names() -> None:
    turns = [Turn("system", "s"), *QUESTION, Turn("assistant", "A dog."), Turn("user", "Sure?")]
    system, request = judge_prompt(turns, ["Yes.", "No."])
    assert system.role == "system"
    assert "1 to 100" in system.content
    assert "Person: What is a fox?\n\nAssistant: A dog.\n\nPerson: Sure?" in request.content
    assert "[Begin of answer 2]\nNo.\n[End of answer 2]" in request.content


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("70 80", [70, 80]),
        ("\n 70, 80\nbecause 1", [70, 80]),
        ("1 100", [1, 100]),
        ("70/100 80 out of 100", [70, 80]),
        ("100/100, 100/100", [100, 100]),
        ("**Answer 1: 70, answer #2: 80.5**", [70, 80]),
    ],
)
def test_scores_are_read_from_the_first_line(text: str, scores: list[int]) -> None:
    assert parse_scores(text, 2) == scores


@pytest.mark.parametrize("text", ["", "70", "70 80 90", "0 50", "101 5", "good bad", "7/10"])
def test_other_text_is_not_scores(text: str) -> None:
    with pytest.raises(NoScoresError):
        parse_scores(text, 2)


def test_a_judge_without_scores_is_asked_again_a_few_times() -> None:
    replies = iter(["I like both!", "50 60", "50 60"])
    assert mean_scores(lambda _: next(replies), ["a", "b"]) in ([50, 60], [60, 50], [55, 55])
    with pytest.raises(NoScoresError, match="did not reply with 2 scores"):
        mean_scores(lambda _: "well", ["a", "b"])


async def test_the_grammar_makes_a_small_model_write_scores(engine: LlamaEngine) -> None:
    from baize_tui.engine.protocol import Finished, Generate, Prompt, PromptMessage
    from baize_tui.settings import Sampling

    messages = judge_prompt(QUESTION, ["A wild dog.", "I do not know."])
    prompt = Prompt([PromptMessage(turn.role, turn.content) for turn in messages])
    request = Generate(
        request=0,
        prompt=prompt,
        sampling=Sampling(temperature=0.0),
        max_tokens=16,
        stop=[],
        trim_at_stop=True,
        grammar=score_grammar(2),
    )
    *_, last = engine.generate(request)
    assert isinstance(last, Finished)
    assert len(parse_scores(last.text, 2)) == 2


# --- sampling and scoring -----------------------------------------------------------------------


async def test_answers_and_scores_are_kept_and_not_requested_again(tmp_path: Path) -> None:
    number = iter(range(1000))

    def talk(messages: list[dict[str, str]]) -> str:
        if messages[0]["role"] == "system":
            shown = re.findall(r"\[Begin of answer \d+\]\n(.*?)\n\[End", messages[-1]["content"])
            return " ".join(str(10 + len(item)) for item in shown)
        return "x" * (1 + next(number) % 50)

    questions = [[Turn("user", f"Question {n}?")] for n in range(3)]
    with serve(talk) as server:
        speaker = open_speaker([server.spec], ServerAccess())
        result = await sample_candidates(speaker, questions, 4, SamplingOptions(), tmp_path)
        scores = await score_candidates(speaker, result, tmp_path, JudgeOptions())
        count = len(server.requests)
        # Each answer has its own seed.
        seeds = [r["seed"] for r in server.requests if r["messages"][0]["role"] == "user"]
        assert len(set(seeds)) == 12
        # A killed process left an incomplete line.
        with (tmp_path / SCORES_FILE).open("a") as file:
            file.write('{"key": "cut of')
        again = await sample_candidates(speaker, questions, 4, SamplingOptions(), tmp_path)
        scored = await score_candidates(speaker, again, tmp_path, JudgeOptions())
        assert len(server.requests) == count
        # Another model, or other sampling, gives other answers.
        other = await sample_candidates(
            speaker, questions, 4, SamplingOptions(), tmp_path, model="other"
        )
        warmer = await sample_candidates(
            speaker, questions, 4, SamplingOptions(temperature=1.0), tmp_path
        )
        await speaker.close()
        assert len(server.requests) == count + 2 * 3 * 4
        assert len({item.key for item in (*result, *other, *warmer)}) == 9
    assert again == result
    assert scored == scores
    assert len((tmp_path / ANSWERS_FILE).read_text().splitlines()) == 9
    lines = [json.loads(line) for line in (tmp_path / SCORES_FILE).read_text().splitlines()]
    assert all(np.array(line["scores"]).shape == (2, 4) for line in lines)
    for preference in find_preferences(result, scores):
        assert len(preference.best) >= len(preference.worst)
        best = preference.best_dialogue()
        assert best.messages[-1] == Turn("assistant", preference.best)


def test_an_answer_that_was_cut_off_is_never_the_best() -> None:
    sampled = Candidates("k", QUESTION, ["cut", "whole"], [False, True])
    (result,) = find_preferences([sampled], {"k": Scores("k", "j", 1, [[90, 20]])})
    assert result.best == "whole"
    none = Candidates("k", QUESTION, ["cut", ""], [False, True])
    assert find_preferences([none], {"k": Scores("k", "j", 1, [[90, 20]])}) == []


# --- evaluation ---------------------------------------------------------------------------------


def test_a_comparison_uses_both_orders() -> None:
    questions = [QUESTION, QUESTION, QUESTION]
    first, other = ["a", "same", "bbb"], ["aaaa", "same", "b"]

    def verdicts(respond: Callable[[list[str]], str]) -> tuple[int, int, int]:
        speaker: Speaker = Judge(respond)  # type: ignore[assignment]
        result = asyncio.run(compare_answers(speaker, questions, first, other))
        return result.won, result.tied, result.lost

    assert verdicts(by_length) == (1, 1, 1)
    assert verdicts(by_position) == (0, 3, 0)


def test_questions_are_the_first_ones_of_each_dialogue() -> None:
    from baize_train.corpus.dialogues import Dialogue

    turns = [Turn("system", "s"), *QUESTION, Turn("assistant", "A dog."), Turn("user", "Sure?")]
    assert first_questions([Dialogue(turns), Dialogue(turns)], None) == [turns[:2]]


def test_eval_compares_models_in_one_table(shallow_smollm2: Path, tmp_path: Path) -> None:
    file = shallow_smollm2
    held_out = tmp_path / "held-out.jsonl"
    held_out.write_text("".join(f"{json.dumps(line)}\n" for line in corpus_lines(2)))
    with serve(lambda messages: "60 40") as server:
        process = run(
            "eval", "--data", held_out, "--base", file, "--model", file,
            "--judge", server.spec, "--max-tokens", "16", "--max-length", "256", "--json",
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        table = run("eval", "--data", held_out, "--base", file, "--max-length", "256")
    base, same = json.loads(process.stdout)["models"]
    assert base["perplexity"] == same["perplexity"] > 1
    assert base["tokens"] == same["tokens"] > 10
    assert same["against_base"]["tied"] == 2
    assert "Perplexity" in table.stdout
    assert f"{base['perplexity']:.2f}" in table.stdout


def test_a_file_that_is_not_a_model_is_one_line(tmp_path: Path) -> None:
    held_out = tmp_path / "held-out.jsonl"
    held_out.write_text(json.dumps(corpus_lines(1)[0]))
    process = run("eval", "--data", held_out, "--base", held_out)
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    assert str(held_out) in process.stderr
