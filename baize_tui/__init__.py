"""Chat with a model you own."""
