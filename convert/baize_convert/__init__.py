"""From a Hugging Face checkpoint and LoRA adapters to a quantized GGUF, in one streaming pass."""

import logging

PROGRAM = "baize-convert"

# What the gguf package logs is for its developers. Without a handler Python prints warnings to
# stderr, where every line is for the user; what matters to the user is reported by this program.
for _name in ("gguf", "metadata"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
