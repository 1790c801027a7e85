"""The other widgets of the conversation screen."""
