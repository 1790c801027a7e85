"""Repositories on the Hugging Face hub: names, requests, byte ranges and the hub's cache."""
