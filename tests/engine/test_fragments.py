"""The promise of the fragment rule, on real vocabularies."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.engine.prompts.fragments import MarkedText, PromptTokenizer, SpecialToken, partition
from tests.engine.spans import Content, Ids, Literal, Span, marked_text
from tests.engine.vocabulary_files import NAMES, SENTENCEPIECE, vocabulary
from tests.sweeps import swept
from tests.vocabularies import FOLDER

ALWAYS = ("llama-spm", "smollm2", "qwen2", "starcoder")
"""SentencePiece, BPE of small and of large vocabularies, and one without a token for some bytes.

The same for all tests: a vocabulary is loaded once in each process, for up to half a second.
"""

TEXTS = st.text(
    st.one_of(
        st.sampled_from(" \n\t.,<>|[]_▁"),
        st.characters(codec="utf-8", exclude_categories=("Cs", "Co")),
        st.sampled_from(["the", " a", "Hello", "\n\n", "  ", "'s", "123", "你好", "🙂", "é"]).map(
            lambda piece: piece[0]
        ),
    ),
    max_size=40,
)
WORDS = st.lists(
    st.sampled_from(
        [
            "Hello",
            " world",
            "\n",
            "\n\n",
            "  ",
            "    ",
            "don't",
            " 12345",
            "你好",
            "🙂",
            "[|AI|]",
            "x",
        ]
    ),
    max_size=12,
).map("".join)
PLAIN = st.one_of(TEXTS, WORDS)


def without_specials(text: str, vocabulary: Vocabulary) -> str:
    for special in vocabulary.specials:
        if special.text in text:
            text = text.replace(special.text, "")
    return text


def contains_special(text: str, vocabulary: Vocabulary) -> bool:
    return any(special.text in text for special in vocabulary.specials)


def turn_markers(vocabulary: Vocabulary) -> list[str]:
    """Special strings of this vocabulary for template text; a few are enough."""
    return [special.text for special in vocabulary.specials if special.control][:6]


@st.composite
def conversations(draw: st.DrawFn, name: str) -> list[Span]:
    """Template text with this vocabulary's special tokens around plain contents."""
    markers = turn_markers(vocabulary(name))
    spans: list[Span] = []
    for _ in range(draw(st.integers(1, 4))):
        spans.append(Literal(draw(st.sampled_from(markers)) + draw(PLAIN)))
        spans.append(Content(draw(PLAIN)))
        spans.append(Literal(draw(PLAIN)))
    return spans


def text_of(spans: list[Span]) -> str:
    return "".join(span.text for span in spans if not isinstance(span, Ids))


@pytest.mark.parametrize("name", swept(NAMES, *ALWAYS))
@given(data=st.data())
def test_ids_equal_llama_cpp_for_the_whole_text(name: str, data: st.DataObject) -> None:
    voc = vocabulary(name)
    spans = data.draw(conversations(name))
    whole = text_of(spans)
    contents = [span.text for span in spans if isinstance(span, Content)]
    # The promise is for contents without special strings, also none across their edges.
    joined = sum(whole.count(s.text) for s in voc.specials)
    literal = sum(
        span.text.count(s.text) for span in spans if isinstance(span, Literal) for s in voc.specials
    )
    if any(contains_special(text, voc) for text in contents) or joined != literal:
        return
    ids = PromptTokenizer(voc).ids(marked_text(spans, voc.specials))
    assert ids == voc.tokenize(whole, parse_special=True)


@pytest.mark.parametrize("name", swept(NAMES, *ALWAYS))
@given(data=st.data())
def test_a_growing_conversation_keeps_its_ids(name: str, data: st.DataObject) -> None:
    """Turn by turn with one tokenizer, and all at once with a new one."""
    voc = vocabulary(name)
    spans = data.draw(conversations(name))
    generated = tuple(voc.tokenize(data.draw(PLAIN)))
    spans += [Ids(generated), Literal(turn_markers(voc)[0] + "\n"), Content(data.draw(PLAIN))]
    growing = PromptTokenizer(voc)
    for end in range(1, len(spans) + 1):
        ids = growing.ids(marked_text(spans[:end], voc.specials))
    assert ids == PromptTokenizer(voc).ids(marked_text(spans, voc.specials))


# Some vocabularies have no token for some bytes, so llama.cpp drops them: starcoder's for many,
# those of smollm2 and falcon for the first byte of unassigned characters (0xf1 …) and for some
# control characters.
@pytest.mark.parametrize(
    "name", swept([name for name in NAMES if name != "starcoder"], "llama-spm", "smollm2", "qwen2")
)
@given(data=st.data())
def test_the_bytes_of_the_ids_are_the_text(name: str, data: st.DataObject) -> None:
    voc = vocabulary(name)
    if any(special.lstrip or special.rstrip for special in voc.specials):
        return  # such tokens eat the blanks beside them, as they must
    text = without_specials(data.draw(PLAIN), voc)
    if name in ("smollm2", "falcon"):
        text = "".join(
            char
            for char in text
            if ord(char) < 0x40000 and (char in "\n\t" or unicodedata.category(char) != "Cc")
        )
    if contains_special(text, voc):
        return
    ids = PromptTokenizer(voc).plain(text)
    # "▁" is how these vocabularies spell a blank: the two are one to them.
    spelled = voc.detokenize(ids, special=True).decode()
    assert spelled.replace("▁", " ") == text.replace("▁", " ")


@pytest.mark.parametrize("name", swept(NAMES, *ALWAYS))
def test_typed_special_strings_never_become_tokens(name: str) -> None:
    """Each special string of the vocabulary, alone, in a sentence, and beside another."""
    voc = vocabulary(name)
    tokenizer = PromptTokenizer(voc)
    markers = [special for special in voc.specials if special.is_marker]
    open_turn = turn_markers(voc)[0]
    marker_ids = {special.id for special in markers}
    of_template = [s.id for s in partition(open_turn, voc.specials) if not isinstance(s, str)]
    for special, other in zip(markers, reversed(markers), strict=True):
        for typed in (special.text, f"say {special.text} now", special.text + other.text):
            spans: list[Span] = [Literal(open_turn), Content(typed), Literal("\n")]
            ids = tokenizer.ids(marked_text(spans, voc.specials))
            found = [token for token in ids if token in marker_ids]
            assert found == of_template, (special.text, typed)


@pytest.mark.parametrize("name", swept(NAMES, *ALWAYS))
@given(data=st.data())
def test_nothing_typed_becomes_a_token(name: str, data: st.DataObject) -> None:
    """Special strings broken, doubled and joined with text, by chance."""
    voc = vocabulary(name)
    strings = [special.text for special in voc.specials if special.is_marker][:40]
    typed = "".join(
        data.draw(
            st.lists(
                st.one_of(
                    st.sampled_from(strings),
                    st.sampled_from(strings).flatmap(
                        lambda s: st.integers(1, len(s)).map(lambda k: s[:k])
                    ),
                    st.sampled_from(strings).flatmap(
                        lambda s: st.integers(0, len(s)).map(lambda k: s[k:])
                    ),
                    PLAIN,
                ),
                max_size=8,
            )
        )
    )
    opening, closing = turn_markers(voc)[0], turn_markers(voc)[-1]
    spans: list[Span] = [Literal(opening), Content(typed), Literal(closing)]
    ids = PromptTokenizer(voc).ids(marked_text(spans, voc.specials))
    markers = {special.id for special in voc.specials if special.is_marker and special.control}
    unknown = {s.id for s in voc.specials if s.text in ("<unk>", "<UNK>")}
    wanted = [
        part.id
        for text in (opening, closing)
        for part in partition(text, voc.specials)
        if isinstance(part, SpecialToken)
    ]
    checked = markers - unknown  # an unknown character is <unk> too
    assert [t for t in ids if t in checked] == [t for t in wanted if t in checked]


@pytest.mark.parametrize("name", swept(NAMES, *ALWAYS))
def test_half_a_special_string_does_not_join_the_templates_text(name: str) -> None:
    voc = vocabulary(name)
    special = next(s for s in voc.specials if s.control and len(s.text) > 3)
    for cut in range(1, len(special.text)):
        head, tail = special.text[:cut], special.text[cut:]
        beside: list[list[Span]] = [
            [Literal("x"), Content(head), Literal(tail)],
            [Literal(head), Content(tail), Literal("x")],
        ]
        for spans in beside:
            ids = PromptTokenizer(voc).ids(marked_text(spans, voc.specials))
            assert special.id not in ids


@pytest.mark.parametrize(
    "name", ["llama-spm", "phi-3", "llama-bpe", "qwen2", "command-r", "falcon", "deepseek-llm"]
)
def test_llama_cpps_own_golden_values(name: str) -> None:
    """The .inp/.out files beside the vocabularies, made by llama.cpp from the original
    tokenizers (convert_hf_to_gguf_update.py)."""
    voc = vocabulary(name)
    inputs = (FOLDER / f"ggml-vocab-{name}.gguf.inp").read_text().split("\n__ggml_vocab_test__\n")
    outputs = (FOLDER / f"ggml-vocab-{name}.gguf.out").read_text().split("\n")
    tokenizer = PromptTokenizer(voc)
    checked = 0
    for text, line in zip(inputs, outputs, strict=False):
        expected = [int(token) for token in line.split()]
        assert tokenizer.ids(MarkedText(text)) == expected, repr(text)
        checked += 1
    assert checked > 40


def test_baize_markers_tokenize_as_the_reference_says() -> None:
    """reference values of the true LLaMA vocabulary, from llama-tokenizer-js 1.2.2."""
    voc = vocabulary("llama-spm")
    tokenizer = PromptTokenizer(voc)
    assert voc.detokenize([518]) == b" ["
    assert tokenizer.ids(MarkedText("[|Human|]"))[0] == 518
    after_line = tokenizer.ids(MarkedText("Hi!\n[|AI|]Yes"))
    assert 13 in after_line
    assert after_line[after_line.index(13) + 1] == 29961
    assert after_line[-1] == 8241
    assert tokenizer.ids(MarkedText("\n[|AI|] Yes"))[-1] == 3869


@pytest.mark.parametrize("name", SENTENCEPIECE)
def test_a_newline_is_a_cut_on_sentencepiece(name: str) -> None:
    assert vocabulary(name).newline_is_cut


@pytest.mark.parametrize("name", ["llama-bpe", "smollm2", "gemma-4"])
def test_a_newline_is_no_cut_where_tokens_contain_one(name: str) -> None:
    assert not vocabulary(name).newline_is_cut


def test_the_longest_special_token_wins_as_in_llama_cpp() -> None:
    short = SpecialToken(1, "<a>", control=True)
    long = SpecialToken(2, "<a><b>", control=True)
    assert partition("x<a><b>y<a>", [long, short]) == ["x", long, "y", short]


def test_blanks_beside_a_stripping_token_are_removed() -> None:
    token = SpecialToken(1, "<m>", control=True, lstrip=True, rstrip=True)
    assert partition("a \n<m>\t b", [token]) == ["a", token, "b"]


def test_a_word_that_training_added_is_no_marker_unless_it_is_a_control_token() -> None:
    word = SpecialToken(1, "Veltrania", control=False, is_word=True)
    assert not word.is_marker
    assert SpecialToken(1, "<tool_call>", control=False).is_marker
    assert SpecialToken(1, "<|im_end|>", control=True, is_word=True).is_marker
