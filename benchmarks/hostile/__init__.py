"""Hostile inputs for every reader: what ``benchmarks/scenarios/hostile_inputs.py`` runs."""
