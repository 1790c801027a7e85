"""Fetch the vocabularies and chat templates that llama.cpp tests its own tokenizer with.

They are part of the source distribution of llama-cpp-python. None of it is kept in git::

    python -m tests.vocabularies
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from build_llama.installation import pinned_version

VERSION = pinned_version()
FOLDER = Path(__file__).resolve().parent.parent / ".cache" / f"llama.cpp-models-{VERSION}"
TEMPLATES = FOLDER / "templates"


def fetch() -> None:
    """Download the source distribution and keep ``vendor/llama.cpp/models`` of it."""
    if (FOLDER / "complete").exists():
        return
    with tempfile.TemporaryDirectory() as download:
        print("fetching llama.cpp's vocabularies and templates (77 MB) …", flush=True)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--disable-pip-version-check", "--no-binary", "llama-cpp-python"),
                *("--dest", download, f"llama-cpp-python=={VERSION}"),
            ],
            check=True,
        )
        (archive,) = Path(download).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            for member in tar:
                _, _, name = member.name.partition("vendor/llama.cpp/models/")
                if name and member.isfile():
                    target = FOLDER / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    content = tar.extractfile(member)
                    assert content is not None
                    target.write_bytes(content.read())
    (FOLDER / "complete").touch()


if __name__ == "__main__":
    fetch()
