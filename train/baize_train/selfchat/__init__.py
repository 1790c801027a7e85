"""Self-chat: seeds become dialogues that models hold with each other."""
