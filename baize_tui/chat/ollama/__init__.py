"""A model for Ollama: its prompt format in Go's template language, and its Modelfile."""
