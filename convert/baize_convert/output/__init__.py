"""The GGUF files that are written: keys, layout and tensors."""
