"""The screen of a conversation: the objects that it is composed of."""
