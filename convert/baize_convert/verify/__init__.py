"""How close a converted file is to its source: tokens and predictions."""
