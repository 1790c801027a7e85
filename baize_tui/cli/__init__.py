"""The command line: one-shot questions, and everything that needs no screen."""
