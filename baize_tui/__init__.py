"""Chat with a model you own, in the terminal, offline."""

__version__ = "0.1.0"
