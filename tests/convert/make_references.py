"""Remake references.json: hashes of the output of llama.cpp's own converter for the test folders.

Not part of the tests; it needs a Python with torch, transformers and sentencepiece, and the source
of llama-cpp-python (vendor/llama.cpp in it)::

    python -m tests.convert.make_references PYTHON LLAMA_CPP SMOLLM2.gguf

Last made with llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.convert.model_folders import CONVERT, REFERENCES, SHAPES, file_digests, random_folder
from tests.convert.smollm2_folder import make_folder
from tests.convert.test_vocabulary import sentencepiece_folder


def main() -> None:
    python, llama_cpp, smollm2 = sys.argv[1:]
    digests = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = {shape: random_folder(folder / shape, **SHAPES[shape]) for shape in SHAPES}
        folders["smollm2"] = make_folder(Path(smollm2), folder / "smollm2")
        folders["sentencepiece"] = sentencepiece_folder(folder / "sentencepiece")
        for name, source in folders.items():
            file = folder / f"{name}.gguf"
            tokenizer = "own tokenizer" if name in SHAPES else "known tokenizer"
            command = [python, "-c", CONVERT, llama_cpp, tokenizer, "f32", str(file), str(source)]
            subprocess.run(command, check=True)
            digests[name] = file_digests(file)
    REFERENCES.write_text(json.dumps(digests, indent=2) + "\n")


if __name__ == "__main__":
    main()
