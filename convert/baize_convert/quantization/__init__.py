"""Output types, and ggml's quantizers."""
