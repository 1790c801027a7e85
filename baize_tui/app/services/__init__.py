"""What the client does without a widget: pulls, plans, clipboard, editor."""
