"""Faults of a machine for the scenarios: a full disk, folders that refuse, a clock that jumps."""
