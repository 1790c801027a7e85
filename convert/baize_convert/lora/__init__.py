"""LoRA adapters: how they are stored, and how they change the tensors of a base."""
