"""How close the predictions of a converted file are to those of its source."""
