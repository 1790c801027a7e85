"""Self-chat corpora and what is done with them."""
