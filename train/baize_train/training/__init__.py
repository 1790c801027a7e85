"""Training with PyTorch, PEFT and TRL: a LoRA from dialogues, a second one from feedback."""
