"""From a conversation to text by a chat template, and from text to exact token ids."""
