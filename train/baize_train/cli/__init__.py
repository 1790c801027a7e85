"""The command line of ``baize-train``: one module for each command, what it prints in ``output``."""
