"""The scenarios of ``benchmarks/torture.py``, one module each."""
