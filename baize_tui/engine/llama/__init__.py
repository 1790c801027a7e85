"""Every call into llama.cpp: its low-level ctypes bindings, typed and checked.

Nothing else in this project imports ``llama_cpp``. The classes own their C objects and free them,
and they check arguments for which llama.cpp would call ``abort()``. The process that draws the
screen never imports these modules: a model runs in the worker process.
"""

from baize_tui.engine.llama.bindings import import_on_demand

import_on_demand()
