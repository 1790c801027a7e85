"""The libraries of training: whether they are installed, and how to keep them quiet."""

from __future__ import annotations

import os
from importlib.util import find_spec

from baize_train.errors import TrainError

_REQUIRED = ("torch", "transformers", "peft", "trl", "datasets")


def require_training_libraries() -> None:
    """Check that PyTorch and the libraries around it are installed.

    Raises:
        TrainError: some are not; it says what to install.
    """
    missing = [name for name in _REQUIRED if not find_spec(name)]
    if missing:
        raise TrainError(
            f"training needs {', '.join(missing)}: install PyTorch for your machine, then "
            "pip install 'baize-tui[train]'"
        )


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
