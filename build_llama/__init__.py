"""Compiles and installs llama-cpp-python for this machine: ``python -m build_llama``.

It runs before anything is installed, so it imports only the standard library and modules of
``baize_shared`` that do the same.
"""
