"""The form of an answer as GBNF, the grammar that llama.cpp follows while it chooses tokens."""
