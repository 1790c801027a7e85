"""From a Hugging Face checkpoint and PEFT adapters to a quantized GGUF, in one streaming pass."""
