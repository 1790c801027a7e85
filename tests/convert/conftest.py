"""References that several files of tests are held against."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_once import made_once


@pytest.fixture(scope="session")
def smollm2_f32(smollm2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model as a GGUF in float32, to be read only."""
    from tests.convert.test_merge import converted

    return made_once(
        tmp_path_factory, "smollm2-f32.gguf", lambda file: converted(smollm2_folder, "F32", file)
    )
