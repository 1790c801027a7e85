"""The pages: their commands are right, and run."""
