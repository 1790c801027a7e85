"""Files as a part of a message: what is read, what is refused, and what a message keeps of them."""

from __future__ import annotations

import io
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import docx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_shared.sanitizer import clean_text
from baize_tui.chat.attachments import document_process, documents
from baize_tui.chat.attachments.blocks import fit_files, read_files
from baize_tui.chat.attachments.document_process import Piece
from baize_tui.chat.attachments.errors import AttachmentFailed
from baize_tui.chat.attachments.finding import mentions_in
from baize_tui.chat.attachments.secrets import secret_in_text
from baize_tui.chat.attachments.text_decoding import decode_text
from baize_tui.output_forms import OutputForm
from baize_tui.store.draft_parts import as_written, message_parts
from baize_tui.store.records import Message, Paste, parts_text
from tests.chat.pdf_files import pdf, pdf_of, pdf_of_pages


async def words(text: str) -> int:
    return len(text.split())


async def attach(path: str, folder: Path, room: int = 1000) -> tuple[str, tuple[str, ...]]:
    fitted = await fit_files(read_files(path, folder), room, words)
    return fitted.text, fitted.notes


def word(text: str) -> bytes:
    document = docx.Document()
    document.add_paragraph(text)
    row = document.add_table(1, 2).rows[0]
    row.cells[0].text, row.cells[1].text = "left", "right"
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


# --- one file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text", "note"),
    [
        (b"plain\n", "plain", ()),
        ("\ufeffwith a mark".encode(), "with a mark", ()),
        ("wide".encode("utf-16"), "wide", ("read as UTF-16",)),
        ("Grüße".encode("latin-1"), "Grüße", ("not UTF-8: read as Windows-1252",)),
        ("白泽，你好".encode("gb18030"), "白泽，你好", ("not UTF-8: read as GB18030",)),
        (
            "白泽，你好".encode() + b" \xff",
            "白泽，你好 \ufffd",
            ("UTF-8 with broken bytes, which became \ufffd",),
        ),
        (b"\x1b[31mred\r\n", "␛[31mred", ()),
        (pdf("Tuesday at noon"), "Tuesday at noon", ()),
        (word("A paragraph"), "A paragraph\n\nleft | right", ()),
    ],
    ids=["plain", "mark", "UTF-16", "Latin-1", "GB18030", "damaged", "controls", "PDF", "Word"],
)
async def test_a_file_becomes_text(
    raw: bytes, text: str, note: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(raw)
    assert await attach("a", tmp_path) == (f'<file name="a">\n{text}\n</file>', note)


def make_unreadable(file: Path) -> None:
    file.write_text("x")
    file.chmod(0)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda file: None, "there is no such file"),
    "empty": (lambda file: file.write_bytes(b" \n"), "it is empty"),
    "binary": (lambda file: file.write_bytes(b"\x7fELF\0\1"), "it is not text"),
    "controls": (lambda file: file.write_bytes(bytes(range(1, 32)) * 9), "it is not text"),
    "pipe": (os.mkfifo, "not a regular file"),
    "device": (lambda file: file.symlink_to("/dev/zero"), "not a regular file"),
    "loop": (lambda file: file.symlink_to(file), "symbolic links go in a circle"),
    "broken link": (lambda file: file.symlink_to("gone"), "there is no such file"),
    "empty folder": (lambda file: file.mkdir(), "there are no files"),
    "broken PDF": (lambda file: file.write_bytes(b"%PDF-1.4\nnothing"), "cannot be read"),
    "empty PDF": (lambda file: file.write_bytes(pdf("")), "has no text"),
    "broken archive": (lambda file: file.write_bytes(b"PK\3\4\0\0"), "it is not text"),
    "unreadable": (make_unreadable, "you may not read it"),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_cannot_be_attached_is_one_line(kind: str, tmp_path: Path) -> None:
    make, why = REFUSED[kind]
    if kind == "unreadable" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    make(tmp_path / "a")
    with pytest.raises(AttachmentFailed, match=why) as caught:
        await attach("a", tmp_path)
    assert str(caught.value).startswith("a: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "path", ["x" * 300, "[", "a/**b/*", "[" * 100_000, "a/" * 1_000 + "*", "**/" * 1_000 + "x"]
)
async def test_a_name_that_no_file_can_have(path: str, tmp_path: Path) -> None:
    with pytest.raises(AttachmentFailed):
        await attach(path, tmp_path)


@pytest.mark.parametrize(
    ("raw", "kind"), [(pdf("a"), "PDF"), (word("a"), "Word")], ids=["PDF", "Word"]
)
async def test_a_missing_library_names_the_extra(
    raw: bytes, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pypdf", "docx"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(AttachmentFailed, match=rf"{kind} files need.*baize-tui\[files\]"):
        await attach("a", tmp_path)


@pytest.mark.parametrize("raw", [pdf("a"), word("a")], ids=["PDF", "Word"])
async def test_a_document_that_takes_too_long_is_given_up(
    raw: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_MOST_SECONDS", 0.0)
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(AttachmentFailed, match="a: it takes too much time or memory"):
        await attach("a", tmp_path)


def slow_page() -> bytes:
    """A stream that takes a tenth of a second to read and is small in its file."""
    lines = zlib.compress(b"BT /F1 12 Tf " + b"(Hello there) Tj T* " * 2_000 + b"ET")
    head = b"<< /Filter /FlateDecode /Length %d >>\nstream\n" % len(lines)
    return head + lines + b"\nendstream"


def test_a_page_that_is_named_a_thousand_times_is_read_once() -> None:
    raw = pdf_of(slow_page(), b"[" + b"3 0 R " * 1_000 + b"]", b"1000")
    read = documents.pdf_text(raw, "paper.pdf")
    assert read.note == ""
    assert read.text.count("Hello there") == 2_000_000


@pytest.mark.sweep
def test_a_small_file_whose_pages_share_what_is_slow_is_cut() -> None:
    raw = pdf_of_pages(slow_page(), 1_000)
    read = documents.pdf_text(raw, "paper.pdf")
    assert re.fullmatch(r"only the first \d{1,3} pages: the rest took too long", read.note)


def test_a_document_that_takes_too_much_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(_: BinaryIO) -> Iterator[Piece]:
        yield Piece("a page")
        raise MemoryError

    monkeypatch.setattr(document_process, "_read_pdf", greedy)
    *pages, last = document_process.read_pieces("pdf", io.BytesIO())
    assert pages == [Piece("a page")]
    assert last.problem == "it takes too much memory"


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_refused(raw: bytes) -> None:
    decoded = decode_text(raw)
    if decoded is not None and not decoded.note:
        assert decoded.text == raw.decode("utf-8-sig")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "A=1"),
        ("id_ed25519", "x"),
        ("server.pem", "x"),
        ("notes.txt", "-----BEGIN OPENSSH PRIVATE KEY-----"),
        ("log.txt", "token ghp_" + "a1" * 18),
    ],
)
def test_a_secret_is_noticed(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert "looks like a secret" in read_files(name, tmp_path).secret


@pytest.mark.parametrize("text", ["sketch of a key", "a private key is a number", "sk-short"])
def test_what_only_mentions_a_secret_is_none(text: str) -> None:
    assert secret_in_text(text) == ""


# --- several files, and too much ------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "src/deep").mkdir(parents=True)
    for name in ("src/one.py", "src/two.py", "src/deep/three.py", "src/.hidden"):
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / "src/logo.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "src/key.pem").write_text("x")
    (tmp_path / "src/deep/up").symlink_to(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("src", ["src/deep/three.py", "src/one.py", "src/two.py"]),
        ("src/*.py", ["src/one.py", "src/two.py"]),
        ("src/**/*.py", ["src/deep/three.py", "src/one.py", "src/two.py"]),
    ],
)
async def test_a_folder_or_a_pattern_is_one_object(
    path: str, names: list[str], project: Path
) -> None:
    read = read_files(path, project)
    assert sorted(file.name for file in read.files) == names
    assert read.name == f"{path} ({len(names)} files)"
    text, notes = await attach(path, project)
    assert [text.count(f'<file name="{name}">') for name in names] == [1] * len(names)
    assert any("skipped" in note for note in notes) is (path == "src")


@pytest.mark.parametrize("path", ["*.md", "**/*.md", "../app [[]id]/*.md"])
async def test_a_pattern_is_no_pattern_for_the_folder_that_it_is_seen_from(
    path: str, tmp_path: Path
) -> None:
    folder = tmp_path / "app [id]"
    folder.mkdir()
    (folder / "one.md").write_text("1")
    assert [file.text for file in read_files(path, folder).files] == ["1"]


async def test_a_folder_in_a_pattern_that_exists_is_meant_as_it_is(tmp_path: Path) -> None:
    for name in ("docs[a]", "docsa"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.md").write_text(name)
    assert [file.text for file in read_files("docs[a]/*.md", tmp_path).files] == ["docs[a]"]


async def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(51):
        (tmp_path / f"{number}.txt").write_text("x")
    with pytest.raises(AttachmentFailed, match="51 files are too many"):
        await attach("*.txt", tmp_path)


@pytest.mark.parametrize("room", [20, 100, 2000])
async def test_a_long_file_is_cut_and_says_so(room: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("word " * 1000)
    text, notes = await attach("a", tmp_path, room)
    assert await words(text) <= room
    is_cut = room < 1000
    assert ("characters are left out]\n</file>" in text) is is_cut
    assert bool(notes) is is_cut


async def test_without_room_nothing_is_attached(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("word")
    with pytest.raises(AttachmentFailed, match="no room"):
        await attach("a", tmp_path, 3)


# --- in a text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("see @notes.txt", ["notes.txt"]),
        ('@"my notes.txt" and @~/b', ["my notes.txt", "~/b"]),
        ("write to ada@example.org", []),
        ("a @ b, and @@x", ["@x"]),
        ("line\n@property\n", ["property"]),
    ],
)
def test_an_at_that_begins_a_word_may_name_a_file(text: str, paths: list[str]) -> None:
    assert [path for _, _, path in mentions_in(text)] == paths


TEXTS = st.text(max_size=12).map(clean_text)
PARTS = st.lists(
    TEXTS
    | st.builds(Paste, TEXTS)
    | st.builds(Paste, TEXTS, st.just("a.txt"), st.integers(0, 9))
    | st.just(Paste(name="f", form=OutputForm("json"))),
    max_size=6,
)


@given(PARTS)
def test_a_message_can_be_edited_and_is_the_same_again(parts: list[str | Paste]) -> None:
    written = as_written(tuple(parts))
    assert written.text == parts_text(tuple(parts)).strip()
    for attachment in written.attachments:
        assert 0 <= attachment.start <= attachment.end <= len(written.text)
    message = Message(
        *(1, "c", None, "user", "complete", written.text, "", None, None, 0.0, None),
        attachments=written.attachments,
        form=written.form,
    )
    assert as_written(message_parts(message)) == written
