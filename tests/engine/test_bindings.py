"""A worker imports the bindings of llama.cpp alone; other programs find the rest of the package."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.engine.model_files import broken_files


def run_python(code: str) -> str:
    """What a new process prints that runs ``code``."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_worker_does_without_the_high_level_api(smollm2: Path) -> None:
    """Also once it has loaded a model."""
    printed = run_python(
        "import sys\n"
        "import baize_tui.engine.worker\n"
        "from baize_tui.engine.llama_engine import LlamaEngine\n"
        "from baize_tui.engine.llama.abort import AbortFlag\n"
        "from baize_tui.engine.protocol import Load\n"
        f"engine = LlamaEngine(Load(1, {str(smollm2)!r}, context=256), AbortFlag())\n"
        "print(*(name in sys.modules for name in ('llama_cpp.llama_cpp', 'llama_cpp.llama')))\n"
        "print(engine.loaded.backend)\n"
    )
    modules, backend = printed.splitlines()
    assert modules == "True False"
    assert backend.startswith(f"llama-cpp-python {version('llama-cpp-python')}, ")


def test_reasons_from_the_log_are_kept_when_the_rest_is_imported(
    smollm2: Path, tmp_path: Path
) -> None:
    """The rest of the package makes itself the receiver of llama.cpp's log."""
    file, named = broken_files(tmp_path, smollm2)["architecture"]
    printed = run_python(
        "import baize_tui.engine.llama.model as model, llama_cpp\n"
        "from baize_tui.engine.llama.machine import start_backend\n"
        "start_backend()\n"
        "llama_cpp.Llama\n"
        "try:\n"
        f"    model.Model({str(file)!r})\n"
        "except model.ModelFileError as error:\n"
        "    print(error)\n"
    )
    assert named in printed


@pytest.mark.parametrize(
    "use",
    [
        "import llama_cpp; api = llama_cpp.Llama",
        "from llama_cpp import Llama as api",
        "from llama_cpp import *; api = Llama",
        "from llama_cpp import llama_chat_format; import llama_cpp.llama; api = llama_cpp.Llama",
    ],
)
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_the_rest_is_there_for_those_who_use_it(use: str, first: str) -> None:
    ours = "import baize_tui.engine.llama.model as model"
    order = [ours, use] if first == "ours" else [use, ours]
    printed = run_python(
        "\n".join(order) + "\nimport inspect, llama_cpp, sys\n"
        "assert api is sys.modules['llama_cpp.llama'].Llama\n"
        "assert model.lib is llama_cpp.llama_cpp is sys.modules['llama_cpp.llama_cpp']\n"
        "inspect.getmodule(api)\n"
        "print(llama_cpp.__version__)\n"
    )
    assert printed.strip()


def test_a_name_that_the_package_lacks_is_missing() -> None:
    run_python(
        "import baize_tui.engine.llama.model, llama_cpp\n"
        "assert not hasattr(llama_cpp, '__wrapped__')\n"
        "assert not hasattr(llama_cpp, 'no_such_name')\n"
        "assert not hasattr(llama_cpp, 'no_such_name')\n"
        "assert llama_cpp.Llama\n"
    )
