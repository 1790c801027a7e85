"""Training uses what the chat sends: the same text, the same ids, with the answers trained."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.errors import TrainError
from baize_train.tokens.chat_format import ChatFormat, choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer, TokenizedDialogue
from baize_train.tokens.skip_reasons import UntrainableDialogue
from baize_train.tokens.token_sets import IGNORED_LABEL, tokenize
from baize_train.tokens.vocabulary import open_vocabulary
from baize_tui.chat.formats import build_prompt, format_named
from baize_tui.engine.llama.model import Model
from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import PromptMessage
from baize_tui.settings import Settings
from baize_tui.store.records import Message
from tests.engine.vocabulary_files import NAMES, vocabulary
from tests.engine.vocabulary_files import model as vocabulary_model
from tests.vocabularies import TEMPLATES

CHAT = Settings().chat


def dialogue(*texts: str, system: str | None = None) -> Dialogue:
    turns = [Turn("user" if not n % 2 else "assistant", text) for n, text in enumerate(texts)]
    return Dialogue([*([Turn("system", system)] if system is not None else []), *turns])


def trained_texts(vocab: Vocabulary, tokens: TokenizedDialogue) -> list[str]:
    """Each run of trained tokens, as text."""
    pairs = zip(tokens.trained, tokens.ids, strict=True)
    return [
        vocab.detokenize([token for _, token in run], special=True).decode()
        for trained, run in groupby(pairs, key=lambda pair: pair[0])
        if trained
    ]


@pytest.fixture(scope="module")
def smollm2_vocabulary(smollm2: Path) -> Iterator[Model]:
    with open_vocabulary(smollm2) as model:
        yield model


def tokenizer_of(model: Model, name: str | None = None) -> DialogueTokenizer:
    return DialogueTokenizer(model.vocabulary, choose_chat_format(model, name))


def test_an_answer_of_weight_0_is_only_read(smollm2_vocabulary: Model) -> None:
    turns = [*dialogue(*TWO).messages]
    for loss in ("answers", "everything"):
        tokenizer = DialogueTokenizer(
            smollm2_vocabulary.vocabulary, choose_chat_format(smollm2_vocabulary, None), loss
        )
        whole = tokenizer.tokenize(Dialogue(turns))
        part = tokenizer.tokenize(
            Dialogue([turns[0], Turn("assistant", TWO[1], weight=0), *turns[2:]])
        )
        assert part.ids == whole.ids
        answer = len(tokenizer.answer_ids(TWO[1]))
        assert whole.trained.count(1) - part.trained.count(1) == answer


def test_a_question_that_cannot_be_asked_is_refused_with_the_reason(
    smollm2_vocabulary: Model,
) -> None:
    asked = [Turn("user", "What is a fox?")]
    length = len(tokenizer_of(smollm2_vocabulary).question_ids(asked, 512))
    with pytest.raises(UntrainableDialogue, match="longer than --max-length"):
        tokenizer_of(smollm2_vocabulary).question_ids(asked, length)
    picky = "{% if messages|length > 3 %}{{ raise_exception('no') }}{% endif %}"
    template = choose_chat_format(smollm2_vocabulary, None).template + picky
    format = ChatFormat("template", template, "", moderation=False)
    tokenizer = DialogueTokenizer(smollm2_vocabulary.vocabulary, format)
    with pytest.raises(UntrainableDialogue, match="the chat template rejects it"):
        tokenizer.question_ids([*asked, Turn("assistant", "A dog."), *asked] * 2, 512)


@pytest.mark.parametrize("name", ["template", "chatml", "baize"])
@pytest.mark.parametrize("system", [None, "", "Be brief."])
def test_a_question_after_an_answer_has_the_ids_of_the_dialogue(
    smollm2_vocabulary: Model, name: str, system: str | None
) -> None:
    """So a pair of answers to it trains what a dialogue would; earlier answers are kept as ids."""
    tokenizer = tokenizer_of(smollm2_vocabulary, name)
    for earlier in (TWO[1], " A wild dog. \n", "<|im_end|>", "[|Human|] A dog."):
        whole = dialogue(TWO[0], earlier, *TWO[2:], system=system)
        asked = tokenizer.question_ids(whole.messages[:-1], 512)
        assert [*asked, *tokenizer.answer_ids(TWO[3])] == list(tokenizer.tokenize(whole).ids)
    with pytest.raises(UntrainableDialogue, match="reasoning"):
        tokenizer.question_ids(dialogue("?", "<think>Hm.</think>Yes.", "?").messages, 512)


TWO = ("What is a fox?", "A wild dog.\n\n- clever", "And a hen?", "A bird. 🐓")


@pytest.mark.parametrize("name", ["template", "chatml", "baize"])
def test_training_uses_the_ids_that_the_chat_sends(
    engine: LlamaEngine, smollm2_vocabulary: Model, name: str
) -> None:
    """Compared with the client's own messages, prompt and engine."""
    tokenizer = tokenizer_of(smollm2_vocabulary, name)
    tokens = tokenizer.tokenize(dialogue(*TWO))
    history = [
        Message(
            id=number,
            conversation_id="",
            parent_id=None,
            role="assistant" if number % 2 else "user",
            state="complete",
            text=text,
            reasoning="",
            ids=tokenizer.answer_ids(text)[: -len(tokenizer.end_ids)] if number % 2 else None,
            tokenizer=engine.vocabulary.fingerprint,
            created_at=0.0,
            provenance=None,
        )
        for number, text in enumerate([*TWO, "Why?"])
    ]
    prompt = build_prompt(
        name,
        history,
        system=CHAT.system,
        moderation=CHAT.moderation,
        tokenizer=engine.vocabulary.fingerprint,
    )
    sent = engine.prompt_ids(prompt)
    assert list(tokens.ids) == sent[: len(tokens.ids)]
    text = engine.vocabulary.detokenize(tokens.ids, special=True).decode()
    assert text.endswith(TWO[3] + tokenizer.end)
    asked = prompt_before_the_last_answer(engine, history, name)
    assert sent[: len(asked)] == asked, (
        "an answer follows the same prompt in training and in the chat"
    )


def prompt_before_the_last_answer(
    engine: LlamaEngine, history: list[Message], name: str
) -> list[int]:
    prompt = build_prompt(
        name, history[:3], system=CHAT.system, moderation=CHAT.moderation,
        tokenizer=engine.vocabulary.fingerprint,
    )  # fmt: skip
    return engine.prompt_ids(prompt)


@pytest.mark.parametrize(
    ("name", "end"),
    [("template", "<|im_end|>"), ("chatml", "<|im_end|>"), ("baize", "\n[|Human|]")],
)
def test_answers_and_their_ends_are_trained(smollm2_vocabulary: Model, name: str, end: str) -> None:
    tokenizer = tokenizer_of(smollm2_vocabulary, name)
    tokens = tokenizer.tokenize(dialogue(*TWO))
    assert trained_texts(smollm2_vocabulary.vocabulary, tokens) == [TWO[1] + end, TWO[3] + end]


def test_loss_on_everything_trains_every_token(smollm2_vocabulary: Model) -> None:
    format = choose_chat_format(smollm2_vocabulary, "baize")
    tokens = DialogueTokenizer(smollm2_vocabulary.vocabulary, format, "everything").tokenize(
        dialogue(*TWO)
    )
    assert set(tokens.trained) == {1}


def test_the_true_llama_vocabulary_reads_baize_s_markers() -> None:
    """Golden ids of reference vocabularies: ``[|AI|]Yes`` has no space, and a BOS comes first."""
    llama = vocabulary("llama-spm")
    chosen = format_named("baize")
    assert chosen.template is not None
    format = ChatFormat("baize", chosen.template, CHAT.system, moderation=CHAT.moderation)
    tokens = DialogueTokenizer(llama, format).tokenize(dialogue("Hm?", "Yes", "So?", "No"))
    assert tokens.ids[0] == 1
    assert trained_texts(llama, tokens) == ["Yes\n[|Human|]", "No\n[|Human|]"]
    at = bytes(tokens.trained).index(1)
    # Yes, a line end, [, |, H, uman, |, ]
    assert list(tokens.ids[at : at + 8]) == [8241, 13, 29961, 29989, 29950, 7889, 29989, 29962]


@pytest.mark.parametrize(
    ("template", "name", "end"),
    [
        ("meta-llama-Llama-3.1-8B-Instruct.jinja", "llama-bpe", "<|eot_id|>"),
        ("Qwen-Qwen2.5-7B-Instruct.jinja", "qwen2", "<|im_end|>"),
    ],
)
def test_each_model_ends_answers_with_its_own_token(template: str, name: str, end: str) -> None:
    source = (TEMPLATES / template).read_text("utf-8")
    tokenizer = DialogueTokenizer(
        vocabulary(name), ChatFormat("template", source, "Be brief.", True)
    )
    tokens = tokenizer.tokenize(dialogue(*TWO))
    assert trained_texts(vocabulary(name), tokens) == [TWO[1] + end, TWO[3] + end]


LLAMA_2 = """\
{% if messages[0].role == 'system' %}{% set system = messages[0].content %}
{%- set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}
{%- for turn in turns %}{% set text = turn.content.strip() %}
{%- if loop.first and system %}
{%- set text = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' + text %}{% endif %}
{%- if turn.role == 'user' %}{{ bos_token + '[INST] ' + text + ' [/INST]' }}
{%- else %}{{ ' ' + text + ' ' + eos_token }}{% endif %}{% endfor %}"""
VICUNA = """\
{% for turn in messages %}{% if turn.role == 'system' %}{{ turn.content }}
{%- elif turn.role == 'user' %}{{ ' USER: ' + turn.content }}
{%- else %}{{ ' ASSISTANT: ' + turn.content + eos_token }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"""
SYSTEMS = (None, "Be brief.")
THOUGHT = "begins an answer with a thought"


def chat_ids(tokenizer: DialogueTokenizer, item: Dialogue) -> list[list[int]]:
    """For each answer, what the chat sends to get it, followed by the answer and its end.

    A chat keeps all ids that were generated, up to the end.
    """
    history: list[PromptMessage] = []
    whole = []
    for turn in item.messages:
        ids = None
        if turn.role == "assistant":
            answer = tokenizer.answer_ids(turn.content)
            whole.append([*tokenizer.prompt_ids(history), *answer])
            ids = answer[: len(answer) - len(tokenizer.end_ids)]
        history.append(PromptMessage(turn.role, turn.content, ids))
    return whole


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("source", [LLAMA_2, VICUNA], ids=["llama-2", "vicuna"])
def test_blanks_before_an_answer_are_those_that_are_generated(
    source: str, system: str | None
) -> None:
    """The template writes a space there; so does the model, as a part of its first word."""
    vocab = vocabulary("llama-spm")
    tokenizer = DialogueTokenizer(vocab, ChatFormat("template", source, "", moderation=False))
    item = dialogue(*TWO, "Why?", "So.", system=system)
    ids = list(tokenizer.tokenize(item).ids)
    for sent in chat_ids(tokenizer, item):
        assert ids[: len(sent)] == sent
    text = vocab.detokenize(ids, special=True).decode()
    assert "  A wild dog" not in text
    assert text.count(" A wild dog") == 1


@pytest.mark.sampled(5)
@pytest.mark.parametrize("file", sorted(TEMPLATES.glob("*.jinja")), ids=lambda file: file.stem)
def test_training_ids_are_chat_ids_in_every_template_that_is_not_refused(file: Path) -> None:
    """In each vocabulary that has the template's tokens; what is refused has a test below."""
    source = file.read_text("utf-8")
    for name in NAMES:
        try:
            tokenizer = DialogueTokenizer(
                vocabulary(name), ChatFormat("template", source, "", moderation=False)
            )
        except TrainError:
            continue
        for system in SYSTEMS:
            for texts in (TWO[:2], (*TWO, "Why?", "So.")):
                item = dialogue(*texts, system=system)
                try:
                    ids = list(tokenizer.tokenize(item).ids)
                except UntrainableDialogue:
                    continue
                for sent in chat_ids(tokenizer, item):
                    assert ids[: len(sent)] == sent, name


@pytest.mark.parametrize(
    ("template", "name", "reason"),
    [
        ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-llm", THOUGHT),
        ("Qwen-QwQ-32B", "qwen2", THOUGHT),
        ("Qwen3.5-4B", "qwen2", THOUGHT),
        ("google-gemma-4-31B-it", "gemma-4", THOUGHT),
        ("CohereForAI-c4ai-command-r-plus-tool_use", "command-r", "otherwise than it writes"),
    ],
)
def test_a_template_that_asks_otherwise_than_it_writes_is_refused(
    template: str, name: str, reason: str
) -> None:
    source = (TEMPLATES / f"{template}.jinja").read_text("utf-8")
    with pytest.raises(TrainError, match=reason) as raised:
        DialogueTokenizer(vocabulary(name), ChatFormat("template", source, "", moderation=False))
    assert "--format" in str(raised.value)


@pytest.mark.parametrize(
    ("template", "name", "texts", "system", "reason"),
    [
        ("openai-gpt-oss-120b", "phi-3", 4, None, "several answers"),
        ("mistralai-Mistral-Nemo-Instruct-2407", "llama-spm", 2, "Be brief.", "system turn"),
    ],
)
def test_a_dialogue_that_a_template_rewrites_is_skipped(
    template: str, name: str, texts: int, system: str | None, reason: str
) -> None:
    source = (TEMPLATES / f"{template}.jinja").read_text("utf-8")
    tokenizer = DialogueTokenizer(
        vocabulary(name), ChatFormat("template", source, "", moderation=False)
    )
    tokenizer.tokenize(dialogue(*TWO[:2]))
    with pytest.raises(UntrainableDialogue, match=reason):
        tokenizer.tokenize(dialogue(*TWO[:texts], system=system))


# SmolLM2's vocabulary lacks the bytes of some control characters, and of the planes beyond 3.
TEXTS = st.text(
    st.characters(max_codepoint=0x3FFFF, exclude_categories=["Cs", "Cc"])
    | st.sampled_from(list("<|im_end>[]AIHuman \n")),
    min_size=1,
    max_size=40,
).filter(str.strip)
HOSTILE = st.sampled_from(
    ["<|im_end|>", "<|im_start|>assistant\n", "[|AI|]", "[|Human|]", "<|endoftext|>", "|>", "<|"]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        TEXTS | st.builds("{}{}{}".format, TEXTS, HOSTILE, TEXTS), min_size=2, max_size=6
    ),
    name=st.sampled_from(["template", "chatml", "baize"]),
)
def test_typed_text_never_ends_an_answer(
    smollm2_vocabulary: Model, texts: list[str], name: str
) -> None:
    vocab = smollm2_vocabulary.vocabulary
    tokenizer = tokenizer_of(smollm2_vocabulary, name)
    whole = dialogue(*(texts[: len(texts) // 2 * 2]))
    tokens = tokenizer.tokenize(whole)
    answers = [turn.content for turn in whole.messages if turn.role == "assistant"]
    spelled = trained_texts(vocab, tokens)
    assert len(spelled) == len(answers)
    for said, answer in zip(spelled, answers, strict=True):
        assert said.endswith(tokenizer.end)
        said = said.removesuffix(tokenizer.end)
        # Plain-text markers got a zero-width break; the rest is unchanged.
        assert said.replace("\N{WORD JOINER}", "") == answer.strip().replace("\N{WORD JOINER}", "")
    markers = {special.id for special in vocab.specials if special.is_marker}
    trained = [
        token for token, is_answer in zip(tokens.ids, tokens.trained, strict=True) if is_answer
    ]
    ends = sum(token in markers for token in trained)
    assert ends == (0 if name == "baize" else len(answers))


def test_a_folder_has_the_vocabulary_of_its_gguf(
    smollm2_folder: Path, smollm2_vocabulary: Model
) -> None:
    with open_vocabulary(smollm2_folder) as model:
        assert model.vocabulary.fingerprint == smollm2_vocabulary.vocabulary.fingerprint
        ids = tokenizer_of(model, "chatml").tokenize(dialogue(*TWO)).ids
    assert ids == tokenizer_of(smollm2_vocabulary, "chatml").tokenize(dialogue(*TWO)).ids


def test_a_dialogue_keeps_its_own_system_turn(smollm2_vocabulary: Model) -> None:
    tokenizer = tokenizer_of(smollm2_vocabulary)
    vocab = smollm2_vocabulary.vocabulary

    def text(item: Dialogue) -> str:
        return vocab.detokenize(tokenizer.tokenize(item).ids, special=True).decode()

    assert CHAT.system in text(dialogue(*TWO))
    own = text(dialogue(*TWO, system="You are a pirate."))
    assert "You are a pirate." in own
    assert CHAT.system not in own


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("Only asked",), "nothing is answered"),
        (("Hm?", "<think>well</think> Yes"), "reasoning"),
        (("Hm?", "  "), "empty"),
    ],
)
def test_an_untrainable_dialogue_has_a_reason(
    smollm2_vocabulary: Model, texts: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(UntrainableDialogue, match=reason):
        tokenizer_of(smollm2_vocabulary).tokenize(dialogue(*texts))


def test_generation_marks_change_nothing(smollm2_vocabulary: Model) -> None:
    """TRL needs ``{% generation %}``; here it is allowed and changes nothing."""
    source = choose_chat_format(smollm2_vocabulary, "chatml").template
    assert "generation %}" not in source.replace("add_generation_prompt %}", "")
    marked = source.replace(
        "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}",
        "{{ '<|im_start|>' + message.role + '\\n' }}{% generation %}{{ message.content }}"
        "{{ '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}",
    )
    assert marked != source
    vocab = smollm2_vocabulary.vocabulary
    plain, with_marks = (
        DialogueTokenizer(vocab, ChatFormat("chatml", item, "", moderation=False)).tokenize(
            dialogue(*TWO)
        )
        for item in (source, marked)
    )
    assert plain == with_marks


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", "ends an answer"),
        (
            "{% for m in messages %}{{ m.content[:0] }}<|im_end|>{% endfor %}",
            "fails|changes",
        ),
        ("{{ messages[0].content.nothing.at.all }}", "fails"),
    ],
)
def test_a_template_that_cannot_teach_to_stop_is_rejected(
    smollm2_vocabulary: Model, source: str, reason: str
) -> None:
    with pytest.raises(TrainError, match=reason) as raised:
        DialogueTokenizer(
            smollm2_vocabulary.vocabulary, ChatFormat("template", source, "", moderation=False)
        )
    assert "\n" not in str(raised.value)
    assert "template" in str(raised.value)


def test_a_model_without_a_template_asks_for_a_format() -> None:
    with pytest.raises(TrainError, match="--format"):
        choose_chat_format(vocabulary_model("llama-spm"), None)


def test_long_dialogues_are_cut_and_counted(smollm2_vocabulary: Model) -> None:
    tokenizer = tokenizer_of(smollm2_vocabulary)
    whole = tokenizer.tokenize(dialogue(*TWO))
    first = bytes(whole.trained).index(1)
    tokens = tokenize([dialogue(*TWO)], tokenizer, whole.length - 3)
    assert (tokens.counts.cut, tokens.counts.cut_dialogues) == (3, 1)
    assert tokens.counts.trained + tokens.counts.ignored == whole.length - 3
    none = tokenize([dialogue(*TWO), dialogue("Asked")], tokenizer, first)
    assert none.dialogues == []
    assert sum(none.counts.left_out.values()) == 2


@pytest.mark.training
def test_labels_are_the_ids_of_answers(smollm2_vocabulary: Model) -> None:
    pytest.importorskip("datasets")
    tokenizer = tokenizer_of(smollm2_vocabulary)
    tokens = tokenize([dialogue(*TWO), dialogue("Hm?", "Yes")], tokenizer, None)
    rows = list(tokens.dataset())
    for row, item in zip(rows, tokens.dialogues, strict=True):
        assert row["input_ids"] == list(item.ids)
        assert row["labels"] == [
            token if trained else IGNORED_LABEL
            for token, trained in zip(item.ids, item.trained, strict=True)
        ]
