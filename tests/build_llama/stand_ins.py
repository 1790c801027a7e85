"""Stand-ins for pip and for the Python that imports what was installed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from build_llama.installation import Programs

_PIP = """\
import json, os, sys
from pathlib import Path

folder = Path(__file__).parent
if sys.argv[1:] == ["cache", "dir"]:
    print(folder / "pip-cache")
    sys.exit((folder / "no-cache").exists())
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps([sys.argv[1:], dict(os.environ)]) + "\\n")
if sys.argv[1] == "uninstall":
    (folder / "installed").unlink(missing_ok=True)
    sys.exit()
if (folder / "installed").exists():
    print("Requirement already satisfied")
    sys.exit()
builds = sorted(folder.glob("build-*.json"))
build = builds[0]
code, output, importable = json.loads(build.read_text())
build.unlink()
print(output, flush=True)
if code == 0:
    (folder / "installed").write_text(sys.argv[-1].partition("==")[2] if importable else "")
sys.exit(code)
"""

_PYTHON = """\
import sys
from pathlib import Path

installed = Path(__file__).parent / "installed"
if not installed.exists():
    sys.exit("ModuleNotFoundError: No module named 'llama_cpp'")
if not (version := installed.read_text()):
    sys.exit("OSError: libggml-cpu.so: cannot open shared object file")
print(version)
"""


@dataclass(frozen=True)
class Call:
    """One call of pip: its arguments and its environment variables."""

    arguments: list[str]
    environment: dict[str, str]


class StandIns:
    """A pip whose builds end as the test says, in the order given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "pip.py").write_text(_PIP)
        (folder / "python.py").write_text(_PYTHON)
        self._builds = 0
        self.programs = Programs(
            pip=(sys.executable, str(folder / "pip.py")),
            python=(sys.executable, str(folder / "python.py")),
        )

    def next_build(self, code: int, output: str, *, importable: bool = True) -> None:
        """The next build prints ``output`` and ends with ``code``."""
        build = json.dumps([code, output, importable])
        (self._folder / f"build-{self._builds}.json").write_text(build)
        self._builds += 1

    def without_cache(self) -> None:
        """pip has no cache folder, as with PIP_NO_CACHE_DIR=1."""
        (self._folder / "no-cache").touch()

    def set_installed(self, version: str) -> None:
        """``version`` can be imported."""
        (self._folder / "installed").write_text(version)

    def installs(self) -> list[Call]:
        """The calls of ``pip install``."""
        file = self._folder / "calls.jsonl"
        if not file.exists():
            return []
        calls = [Call(*json.loads(line)) for line in file.read_text().splitlines()]
        return [call for call in calls if call.arguments[0] == "install"]
