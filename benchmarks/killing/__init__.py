"""What ``benchmarks/scenarios/kills.py`` kills, one kind of process in each module."""
