"""The numbers that C's types hold, and so llama.cpp and GGUF."""

from __future__ import annotations

LARGEST_FLOAT = 3.4028234663852886e38
"""A larger number becomes infinite in a ``float``."""
SMALLEST_FLOAT = 1.1754943508222875e-38
"""The smallest positive ``float`` with full precision."""
LARGEST_INT = 2**31 - 1
"""A larger number becomes another one in an ``int32_t``, without an error."""
MOST_THREADS = 512
"""``GGML_MAX_N_THREADS`` of ggml.h."""
