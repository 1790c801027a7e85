"""Screens that open over the conversation: models, settings, dialogs."""
