"""The names of the output types, which are those of llama-quantize.

They are apart from ``outtypes`` for programs that must not import gguf.
"""

from __future__ import annotations

from typing import Literal

OuttypeName = Literal[
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q6_K",
    "Q5_K_M",
    "Q5_K_S",
    "Q4_K_M",
    "Q4_K_S",
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q3_K_M",
    "Q2_K",
    "IQ4_XS",
    "IQ4_NL",
]
