"""Builds llama-cpp-python for this machine: ``python -m build_llama`` installs it."""
