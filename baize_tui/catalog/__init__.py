"""Which models there are: recipes that ship with the program, and the user's own GGUF files."""
