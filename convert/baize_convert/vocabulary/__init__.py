"""Tokenizers of Hugging Face folders as the vocabulary keys of GGUF."""
