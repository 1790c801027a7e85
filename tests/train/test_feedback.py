"""Judges and their scores, with a server that judges as a test says; and the table of eval."""

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
from baize_train.speakers.concurrency import ConcurrencyLimit
from baize_train.speakers.server_speaker import open_server_speaker
from baize_train.speakers.speaker import Reply, SamplingOptions, Speaker
from baize_tui.engine.llama_engine import LlamaEngine
from tests.train.conftest import corpus_lines
from tests.train.processes import run
from tests.train.scripted_server import serve

QUESTION = [Turn("user", "What is a fox?")]


class Judge:
    """Says what a function of the shown answers gives."""

    name = "a judge"
    max_concurrent = 4
    supports_grammars = False

    def __init__(self, says: Callable[[list[str]], str]) -> None:
        self._says = says
        self.asked: list[list[str]] = []

    async def reply(self, messages: list[Turn], options: SamplingOptions) -> Reply:
        shown = re.findall(r"\[Begin of answer \d+\]\n(.*?)\n\[End", messages[-1].content, re.S)
        self.asked.append(shown)
        return Reply(self._says(shown), True, 1, 1)

    async def close(self) -> None:
        pass


def by_length(answers: list[str]) -> str:
    return " ".join(str(min(100, len(one))) for one in answers)


def only_by_place(answers: list[str]) -> str:
    return " ".join(str(90 - 20 * place) for place in range(len(answers)))


def judged(says: Callable[[list[str]], str], answers: list[str], passes: int = 2) -> list[float]:
    speaker: Speaker = Judge(says)  # type: ignore[assignment]
    return asyncio.run(
        judge_answers(speaker, QUESTION, answers, ConcurrencyLimit(1), JudgeOptions(passes))
    ).means


def test_each_order_has_its_reverse() -> None:
    found = presentation_orders(4, 4, seed=7)
    assert [sorted(one) for one in found] == [[0, 1, 2, 3]] * 4
    assert found[1] == found[0][::-1]
    assert found[3] == found[2][::-1]
    assert found == presentation_orders(4, 4, seed=7)


def test_scores_are_those_of_the_answer_wherever_it_stood() -> None:
    assert judged(by_length, ["a" * 10, "b" * 30, "c" * 20]) == [10, 30, 20]


def test_a_judge_that_only_looks_at_the_place_prefers_none() -> None:
    means = judged(only_by_place, ["one", "two", "three", "four"])
    assert len(set(means)) == 1


def test_the_judge_sees_all_that_was_asked_and_none_of_the_names() -> None:
    turns = [Turn("system", "s"), *QUESTION, Turn("assistant", "A dog."), Turn("user", "Sure?")]
    system, asked = judge_prompt(turns, ["Yes.", "No."])
    assert system.role == "system"
    assert "1 to 100" in system.content
    assert "Person: What is a fox?\n\nAssistant: A dog.\n\nPerson: Sure?" in asked.content
    assert "[Begin of answer 2]\nNo.\n[End of answer 2]" in asked.content


@pytest.mark.parametrize(
    ("text", "scores"),
    [("70 80", [70, 80]), ("\n 70, 80\nbecause 1", [70, 80]), ("1 100", [1, 100])],
)
def test_scores_are_read_from_the_first_line(text: str, scores: list[int]) -> None:
    assert parse_scores(text, 2) == scores


@pytest.mark.parametrize("text", ["", "70", "70 80 90", "0 50", "101 5", "good bad"])
def test_other_words_are_no_scores(text: str) -> None:
    with pytest.raises(NoScoresError):
        parse_scores(text, 2)


def test_a_judge_is_asked_again_before_it_is_given_up() -> None:
    said = iter(["I like both!", "50 60", "50 60"])
    assert judged(lambda _: next(said), ["a", "b"]) in ([50, 60], [60, 50], [55, 55])
    with pytest.raises(NoScoresError, match="did not reply with 2 scores"):
        judged(lambda _: "well", ["a", "b"])


async def test_a_small_model_keeps_to_scores_under_the_grammar(engine: LlamaEngine) -> None:
    from baize_tui.engine.protocol import Finished, Generate, Prompt, PromptMessage
    from baize_tui.settings import Sampling

    asked = judge_prompt(QUESTION, ["A wild dog.", "I do not know."])
    prompt = Prompt([PromptMessage(turn.role, turn.content) for turn in asked])
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


async def test_all_answers_and_all_scores_are_kept_and_not_asked_for_again(tmp_path: Path) -> None:
    number = iter(range(1000))

    def talk(messages: list[dict[str, str]]) -> str:
        if messages[0]["role"] == "system":
            shown = re.findall(r"\[Begin of answer \d+\]\n(.*?)\n\[End", messages[-1]["content"])
            return " ".join(str(10 + len(one)) for one in shown)
        return "x" * (1 + next(number) % 50)

    questions = [[Turn("user", f"Question {n}?")] for n in range(3)]
    with serve(talk) as server:
        speaker = open_server_speaker(server.spec, "")
        found = await sample_candidates(speaker, questions, 4, SamplingOptions(), tmp_path)
        scores = await score_candidates(speaker, found, tmp_path, JudgeOptions())
        asked = len(server.requests)
        # Each answer is asked for with a seed of its own.
        seeds = [r["seed"] for r in server.requests if r["messages"][0]["role"] == "user"]
        assert len(set(seeds)) == 12
        # A killed process had begun to write a line.
        with (tmp_path / SCORES_FILE).open("a") as file:
            file.write('{"key": "cut of')
        again = await sample_candidates(speaker, questions, 4, SamplingOptions(), tmp_path)
        scored = await score_candidates(speaker, again, tmp_path, JudgeOptions())
        assert len(server.requests) == asked
        # Another model, or other sampling, is asked anew.
        other = await sample_candidates(
            speaker, questions, 4, SamplingOptions(), tmp_path, model="other"
        )
        warmer = await sample_candidates(
            speaker, questions, 4, SamplingOptions(temperature=1.0), tmp_path
        )
        await speaker.close()
        assert len(server.requests) == asked + 2 * 3 * 4
        assert len({one.key for one in (*found, *other, *warmer)}) == 9
    assert again == found
    assert scored == scores
    assert len((tmp_path / ANSWERS_FILE).read_text().splitlines()) == 9
    lines = [json.loads(line) for line in (tmp_path / SCORES_FILE).read_text().splitlines()]
    assert all(np.array(line["scores"]).shape == (2, 4) for line in lines)
    for preference in find_preferences(found, scores):
        assert len(preference.best) >= len(preference.worst)
        best = preference.best_dialogue()
        assert best.messages[-1] == Turn("assistant", preference.best)


def test_an_answer_that_was_cut_off_is_never_the_best() -> None:
    sampled = Candidates("k", QUESTION, ["cut", "whole"], [False, True])
    (found,) = find_preferences([sampled], {"k": Scores("k", "j", 1, [[90, 20]])})
    assert found.best == "whole"
    none = Candidates("k", QUESTION, ["cut", ""], [False, True])
    assert find_preferences([none], {"k": Scores("k", "j", 1, [[90, 20]])}) == []


# --- evaluation ---------------------------------------------------------------------------------


def test_verdicts_need_both_orders() -> None:
    questions = [QUESTION, QUESTION, QUESTION]
    first, other = ["a", "same", "bbb"], ["aaaa", "same", "b"]

    def verdicts(says: Callable[[list[str]], str]) -> tuple[int, int, int]:
        speaker: Speaker = Judge(says)  # type: ignore[assignment]
        found = asyncio.run(compare_answers(speaker, questions, first, other))
        return found.won, found.tied, found.lost

    assert verdicts(by_length) == (1, 1, 1)
    assert verdicts(only_by_place) == (0, 3, 0)


def test_questions_are_the_first_of_each_dialogue() -> None:
    from baize_train.corpus.dialogues import Dialogue

    turns = [Turn("system", "s"), *QUESTION, Turn("assistant", "A dog."), Turn("user", "Sure?")]
    assert first_questions([Dialogue(turns), Dialogue(turns)], None) == [turns[:2]]


def test_eval_shows_models_beside_each_other(smollm2: Path, tmp_path: Path) -> None:
    held_out = tmp_path / "held-out.jsonl"
    held_out.write_text("".join(f"{json.dumps(line)}\n" for line in corpus_lines(2)))
    with serve(lambda messages: "60 40") as server:
        done = run(
            "eval", "--data", held_out, "--base", smollm2, "--model", smollm2,
            "--judge", server.spec, "--max-tokens", "16", "--json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        table = run("eval", "--data", held_out, "--base", smollm2)
    base, same = json.loads(done.stdout)["models"]
    assert base["perplexity"] == same["perplexity"] > 1
    assert base["tokens"] == same["tokens"] > 10
    assert same["against_base"]["tied"] == 2
    assert "Perplexity" in table.stdout
    assert f"{base['perplexity']:.2f}" in table.stdout


def test_a_file_that_is_no_model_gets_a_line(tmp_path: Path) -> None:
    held_out = tmp_path / "held-out.jsonl"
    held_out.write_text(json.dumps(corpus_lines(1)[0]))
    done = run("eval", "--data", held_out, "--base", held_out)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(held_out) in done.stderr
