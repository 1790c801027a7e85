"""The screen: everything that imports textual."""

import os

ESCAPE_S = 0.03
"""How long an Esc may be the beginning of another key. Such sequences come in one piece, also over
ssh; Textual's 100 ms would alone be the time in which Esc must stop an answer."""

# Read by textual when it is first imported; a person's own choice stands.
os.environ.setdefault("ESCDELAY", str(round(ESCAPE_S * 1000)))
