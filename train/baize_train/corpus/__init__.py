"""Corpora of dialogues: read and write them, check, deduplicate, mask, mix and describe them."""
