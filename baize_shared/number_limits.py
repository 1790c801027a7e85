"""The numbers that llama.cpp's C types hold."""

from __future__ import annotations

LARGEST_FLOAT = 3.4e38
"""A larger number becomes infinite in a ``float``."""
LARGEST_INT = 2**31 - 1
"""A larger number becomes another one in an ``int32_t``, without an error."""
MOST_THREADS = 512
"""``GGML_MAX_N_THREADS`` of ggml.h."""
