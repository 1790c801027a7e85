"""The command line of ``baize-train``: a module for each command, and their output."""
