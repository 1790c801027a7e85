"""Files that a person adds to a message: found, read as text, and cut to what fits."""
