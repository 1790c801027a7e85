"""What a conversion reads: checkpoints, GGUF files, tensors and their names."""
