"""Hostile files: each reader against many inputs that are nearly valid."""
