"""llama-cpp-python's ctypes bindings without the rest of its package.

The package imports its whole high-level API, with jinja2, numpy and a disk cache: half of the time
that a worker takes before it can load a model.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

_PACKAGE = "llama_cpp"
_OWN_NAMES = ("__version__", "__all__")
"""Of the names with underscores, those that the package may have, or that ``import *`` asks for."""
_VERSION = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)


def import_on_demand() -> None:
    """Let ``import llama_cpp.llama_cpp`` run that module alone. The rest of the package is imported
    by the first use of one of its names."""
    spec = importlib.util.find_spec(_PACKAGE)
    if _PACKAGE in sys.modules or spec is None or spec.loader is None:
        return  # it is there already, or the import will say that it is missing
    package, loader = importlib.util.module_from_spec(spec), spec.loader

    def import_rest(name: str) -> object:
        if name.startswith("__") and name not in _OWN_NAMES:  # those that inspect looks for
            raise AttributeError(name)
        if "__getattr__" in vars(package):
            del package.__getattr__
            loader.exec_module(package)
            _take_log_back()
        return getattr(package, name)

    package.__getattr__ = import_rest  # type: ignore[method-assign]
    sys.modules[_PACKAGE] = package


def _take_log_back() -> None:
    """The rest of the package makes itself the receiver of llama.cpp's log."""
    log = sys.modules.get("baize_tui.engine.llama.log")
    if log is not None:
        log.install_log()


def bindings_version() -> str:
    """The version of llama-cpp-python, without the rest of its package."""
    package = sys.modules[_PACKAGE]
    source = Path(package.__file__ or "").read_text("utf-8")
    found = _VERSION.search(source)
    return found[1] if found else str(package.__version__)
