"""What the three programs share: safe text, printed results, whole files, progress, processors."""
