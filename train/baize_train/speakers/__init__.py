"""Models that reply: a GGUF on this machine or a server, and requests that adapt to its limits."""
