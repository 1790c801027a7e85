"""A model running: the llama.cpp engine, the process it lives in, and the client of that process."""
