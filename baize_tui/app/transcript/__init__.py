"""The transcript of a conversation: one widget that draws lines."""
