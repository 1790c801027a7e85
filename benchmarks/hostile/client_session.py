"""The client in a real terminal, which sends what no person types, and answers that attack it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pty import fork
from tempfile import TemporaryDirectory

from benchmarks.hostile.findings import LONGEST_S, MOST_MEMORY
from benchmarks.hostile.sandbox import Sandbox
from benchmarks.hostile.servers import hostile_answer, pieces_of
from tests.convert.hostile.mutations import mutate_text
from tests.engine.remote.streaming_server import StreamingServer, serve, stream
from tests.terminal.terminal_bytes import ATTACKS, NUL, find_harm, hostile

INPUTS = 25
"""Inputs of a session."""
_STARTED_S = _ANSWERS_S = 120.0
"""Limits for what may take long where the machine is busy."""
_ENDS_S = 5.0
"""After this time, the keys that end the client are pressed again."""
_SIZES = ((100, 30), (101, 30))
_TINY_AND_HUGE = ((1, 1), (3, 2), (20, 6), (400, 120), (65, 200))
_NEVER = b"\x03\x11\x1a\x1c"
"""Ctrl-C, Ctrl-Q, Ctrl-Z and Ctrl-\\ end or suspend the client, as they should."""
_ALLOWED_AT_END = re.compile(rb"\x1b(?:\[[0-9;?<=>]*|\][^\x07\x1b]*)?\Z")


class ClientSession:
    """A client with a server that answers what ``next_answer`` says."""

    def __init__(self, sandbox: Sandbox, server: StreamingServer) -> None:
        self._sandbox = sandbox
        self._server = server
        self._size = 0
        self.written = bytearray()
        environment = {
            **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
            **sandbox.environment,
            "COLORTERM": "truecolor",
            "PAGER": "cat",
            "EDITOR": "true",
        }
        del environment["COLUMNS"]
        self.pid, self._terminal = fork()
        if self.pid == 0:
            os.chdir(sandbox.out)
            program = [sys.executable, "-m", "baize_tui", "--model", server.spec]
            os.execvpe(program[0], program, environment)
        self.resize(*_SIZES[0])
        self.wait_for(lambda: b"moderated" in self.written, _STARTED_S)

    def resize(self, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def wait_for(self, condition: Callable[[], bool], limit_s: float) -> None:
        """Read until the condition holds.

        Raises:
            TimeoutError: it does not within the limit.
            EOFError: the client has ended.
        """
        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError
            self.read(0.05)

    def read(self, wait_s: float = 0.0) -> None:
        """Read what is there.

        Raises:
            EOFError: the client has ended.
        """
        if select.select([self._terminal], [], [], wait_s)[0]:
            try:
                self.written += os.read(self._terminal, 1 << 16)
            except OSError:
                raise EOFError from None

    def type(self, keys: bytes) -> None:
        while keys:
            _, writable, _ = select.select([], [self._terminal], [], 0.05)
            if writable:
                keys = keys[os.write(self._terminal, keys[:512]) :]
            self.read()

    def seconds_to_answer(self) -> float:
        """How long the client computes until it has drawn itself in another size, after all that
        came before.

        Raises:
            TimeoutError, EOFError: as ``wait_for`` says.
        """
        started = self._computed()
        before = len(self.written)
        self._size = 1 - self._size
        columns, lines = _SIZES[self._size]
        self.resize(columns, lines)
        # More than a cursor that blinks: each cell is drawn.
        self.wait_for(lambda: len(self.written) > before + columns * lines, _ANSWERS_S)
        return self._computed() - started

    def _computed(self) -> float:
        """Seconds that the client has computed; another program does not make them more."""
        status = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = status.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def answer_next(self, rng: random.Random) -> None:
        """Let the server give a hostile answer to whatever is asked."""
        pieces = pieces_of(rng, hostile_answer(rng))
        reasoning = pieces_of(rng, hostile_answer(rng)) if rng.random() < 0.2 else []
        self._server.answers[:] = [stream(*pieces, reasoning=reasoning)]

    def peak_memory(self) -> int:
        """Bytes of the client, at most."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def quit(self) -> int:
        """Close whatever is open, and end the client; its exit code.

        The first keys can be a part of a paste that never ended, as those of a person would be.

        Raises:
            TimeoutError: it does not end.
        """
        end = time.monotonic() + _ANSWERS_S
        try:
            while time.monotonic() < end:
                for _ in range(12):
                    self.type(b"\x1b")
                    self.read(0.1)
                self.type(b"\x11")
                with contextlib.suppress(TimeoutError):
                    self.wait_for(lambda: False, _ENDS_S)
        except EOFError:
            return self.exit_code()
        raise TimeoutError

    def exit_code(self) -> int:
        """Of a client that has closed its terminal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)


# --- inputs ---------------------------------------------------------------------------------------


def _pasted(rng: random.Random) -> bytes:
    """A paste, in which even its own end may come early."""
    text = mutate_text(rng, hostile("pasted", NUL).encode("utf-8", "replace"))
    if rng.random() < 0.1:
        text = b"long line " * 100_000
    if rng.random() < 0.2:
        text += b"\x1b[201~" + text[:200]
    return b"\x1b[200~" + text + b"\x1b[201~"


def _bytes(rng: random.Random) -> bytes:
    """Anything: keys, parts of sequences, bytes that are no UTF-8."""
    return rng.randbytes(rng.choice((1, 8, 60, 500)))


def _replies(rng: random.Random) -> bytes:
    """What terminals send by themselves, with numbers that none has."""
    number = rng.choice((0, 1, 99, 65535, 2**31, 10**30))
    return rng.choice(
        (
            b"\x1b[%d;%dR" % (number, number),
            b"\x1b[?%d;%dc" % (number, number),
            b"\x1b[?2026;%d$y\x1b[?2048;%d$y" % (number, number),
            b"\x1b]11;rgb:ffff/%d/zz\x1b\\" % number,
            b"\x1b]52;c;!!!%d\x07" % number,
            b"\x1b[48;%d;%d;%d;%dt" % (number, number, number, number),
            b"\x1bP1+r%d\x1b\\" % number,
            b"\x1b[<%d;%d;%dM\x1b[<%d;%d;%dm" % ((number,) * 6),
            b"\x1b[M\xff\xff\xff",
            b"\x1b[%du\x1b[%d;%d:3u" % (number, number, number),
            b"\x1b[I\x1b[O" * 50,
            b"\x1b]" + b"9" * 2_000,
            b"\x1b[" + b";" * 1_000 + b"m",
        )
    )


def _mouse(rng: random.Random) -> bytes:
    events = []
    for _ in range(rng.choice((1, 5, 40))):
        button, end = rng.choice((0, 1, 2, 32, 35, 64, 65)), rng.choice(b"Mm")
        place = (rng.randrange(1, 130), rng.randrange(1, 40))
        events.append(b"\x1b[<%d;%d;%d%c" % (button, *place, end))
    return b"".join(events)


_COMMANDS = (
    "rename",
    "tag",
    "find",
    "search",
    "persona",
    "model",
    "export",
    "import",
    "attach",
    "x",
)


def _command(rng: random.Random) -> bytes:
    text = mutate_text(rng, f"/{rng.choice(_COMMANDS)} {rng.choice([*ATTACKS.values()])}".encode())
    return b"\x1b[200~" + text.replace(b"\n", b" ")[:20_000] + b"\x1b[201~\r"


def _question(rng: random.Random) -> bytes:
    return b"Say it\r"


def _look_at_answer(rng: random.Random) -> bytes:
    """Copy it, its code, unfold it, show its details, export it."""
    keys = (b"\x1bc", b"\x1bk", b"\x1br", b"\x1bi", b"\x1bo", b"\x1b[5~", b"\x1b[6~", b"\x1b[1;3C")
    return b"".join(rng.choices(keys, k=4))


def _keys(rng: random.Random) -> bytes:
    alt = [b"\x1b" + bytes([code]) for code in b"abdefghijlmnopqrstuvwxyz"]
    control = [bytes([code]) for code in range(1, 27) if code not in _NEVER]
    function = [b"\x1bOP", b"\x1bOQ", b"\x1bOR", b"\x1bOS", b"\x1b[15~", b"\x1b[17~", b"\x1b[24~"]
    moves = [b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[H", b"\x1b[F", b"\t", b"\x7f"]
    return b"".join(rng.choices([*alt, *control, *function, *moves, b"\r", b"a"], k=8))


_INPUTS = (
    _pasted,
    _bytes,
    _replies,
    _mouse,
    _command,
    _question,
    _question,
    _look_at_answer,
    _keys,
)


def try_session(number: int) -> Iterator[str]:
    """Send the inputs of session ``number`` to a client; yield each promise that is broken.

    Where one of them, such as a click, is the command to quit, the rest go to another client.
    """
    rng = random.Random(f"session {number}")
    with TemporaryDirectory(prefix="hostile-client-") as top, serve(stream("Hello")) as server:
        sandbox = Sandbox(Path(top) / "sandbox", Path(top))
        sandbox.empty()
        before = sandbox.listing()
        sent: list[bytes] = []
        while len(sent) < INPUTS:
            yield from _try_client(sandbox, server, rng, sent)
        for log in sandbox.home.rglob("baize-tui.log"):
            yield f"a bug: {log.read_text('utf-8', 'replace')[-400:]!r}"
        if sandbox.canary.exists() or sandbox.listing() != before:
            yield "changed a file outside"


def _try_client(
    sandbox: Sandbox, server: StreamingServer, rng: random.Random, sent: list[bytes]
) -> Iterator[str]:
    """Send inputs to one client until there are ``INPUTS`` in ``sent``, or it has ended."""
    session = ClientSession(sandbox, server)
    try:
        while len(sent) < INPUTS:
            sent.append(_send_one(session, rng))
            if (seconds := session.seconds_to_answer()) > LONGEST_S:
                yield f"took {seconds:.1f} s after {sent[-1][:200]!r}"
        if (memory := session.peak_memory()) > MOST_MEMORY:
            yield f"took {memory >> 20} MB"
        if (code := session.quit()) != 0:
            yield f"ended with {code}: {bytes(session.written[-500:])!r}"
    except EOFError:
        if (code := session.exit_code()) != 0:
            yield f"ended with {code} after {sent[-1][:200]!r}"
    except TimeoutError:
        yield f"answered nothing after {sent[-1][:200]!r}"
        sent += [b""] * INPUTS
    finally:
        session.kill()
    written = _ALLOWED_AT_END.sub(b"", bytes(session.written))
    if (harm := find_harm(written)) is not None:
        yield f"wrote {harm}"
    if b"Traceback" in written:
        yield f"wrote {_plain(written[written.index(b'Traceback') :])[:1500]}"


def _plain(written: bytes) -> str:
    """Letters, without sequences, frames and the spaces between."""
    text = re.sub(rb"\x1b\[[0-9;?<>=]*[A-Za-z]", b"", written).decode("utf-8", "replace")
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())


def _send_one(session: ClientSession, rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        session.resize(*rng.choice(_TINY_AND_HUGE))
        session.read(0.2)
        return b"(a new size)"
    session.answer_next(rng)
    made = rng.choice(_INPUTS)(rng)
    sent = bytes(code for code in made if code not in _NEVER)
    session.type(sent)
    return sent
