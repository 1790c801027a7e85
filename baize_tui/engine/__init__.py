"""A model running: the llama.cpp engine, the process it lives in, and that process's client."""
