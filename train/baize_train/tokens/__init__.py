"""Dialogues as tokens: rendered as the chat client renders them, with a mask of what is trained."""
