"""The libraries of training: whether they are installed, and how to keep them quiet."""

from __future__ import annotations

import os
from importlib.util import find_spec

from baize_train.errors import TrainError

_HOW_TO_INSTALL = "install PyTorch for your machine, then pip install 'baize-tui[train]'"
_REQUIRED = ("torch", "transformers", "peft", "trl", "datasets")
_CORPUS = ("datasketch", "openai", "httpx2", "py3langid", "simple_icd_10_cm")
_TRAINING = (*_REQUIRED, "accelerate", "matplotlib", "plotext", "pyarrow", "safetensors")


def explain_missing_library(error: ModuleNotFoundError) -> TrainError | None:
    """What to install if a library of an extra is missing; None if it is of none of them."""
    library = (error.name or "").partition(".")[0]
    if library in _CORPUS:
        return TrainError(f"this needs {library}: pip install 'baize-tui[corpus]'")
    if library in _TRAINING:
        return TrainError(f"this needs {library}: {_HOW_TO_INSTALL}")
    return None


def require_training_libraries() -> None:
    """Check that PyTorch and the libraries around it are installed.

    Raises:
        TrainError: some are not; it says what to install.
    """
    missing = [name for name in _REQUIRED if not find_spec(name)]
    if missing:
        raise TrainError(f"training needs {', '.join(missing)}: {_HOW_TO_INSTALL}")


def disable_progress_bars() -> None:
    """Turn off tqdm's bars, which would mix with ours. tqdm reads this when it is imported, so call
    it before the libraries are."""
    os.environ["TQDM_DISABLE"] = "1"


def silence_libraries() -> None:
    """Keep warnings and bars of the libraries off the terminal. Imports them."""
    import logging
    import warnings

    import datasets
    import transformers
    from huggingface_hub import constants

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for name in ("trl", "peft", "accelerate", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning)
    # Everything that a run needs is on this machine by now. PEFT would query the Hub at each
    # checkpoint.
    constants.HF_HUB_OFFLINE = True
    os.environ["HF_HUB_OFFLINE"] = "1"
