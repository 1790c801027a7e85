"""The terminal client: everything that imports textual.

``app`` starts and ends it; ``conversation`` is its main screen; ``screens`` open over that. They
are made of ``transcript`` and ``widgets``, and work on ``state`` and ``services``. Imports go in
this direction only.
"""

import os

ESCAPE_S = 0.03
"""How long an Esc may be the beginning of another key. Such sequences arrive in one piece, also
over ssh. Textual's 100 ms would use up the time in which Esc has to stop an answer."""

# Textual reads it when it is first imported; a value that the person set is kept.
os.environ.setdefault("ESCDELAY", str(round(ESCAPE_S * 1000)))
