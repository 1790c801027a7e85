"""From a Hugging Face checkpoint and LoRA adapters to a quantized GGUF, in one streaming pass."""

PROGRAM = "baize-convert"
