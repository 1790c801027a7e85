"""How good models are: perplexity on held-out dialogues, and a judge's comparison."""
