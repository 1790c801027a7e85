"""The command line of ``baize-train``: one module for each command, output in ``output/``."""
