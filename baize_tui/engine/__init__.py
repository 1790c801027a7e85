"""A running model: llama.cpp, the worker process around it, and the client of that process."""
