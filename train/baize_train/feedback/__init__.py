"""Feedback for self-distillation: sampled answers, a judge's scores, the best and the worst."""
