"""Notices on the conversation screen: lines between transcript and prompt, which cover neither."""

from __future__ import annotations

from textual.widgets._toast import ToastRack


class Notices(ToastRack):
    """Textual's notifications with a place of their own; Textual shows them over the prompt."""
