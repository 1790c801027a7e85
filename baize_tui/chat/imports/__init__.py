"""Conversations of other programs: pure functions, one format in each module.

``documents.py`` finds the records in a file, ``recognition.py`` tells the formats apart. The module
of a format decodes a record into structs and makes a ``ParsedConversation`` of it (``parsed.py``):
a tree of questions and answers. What such a tree has no room for, such as a picture or the call of
a tool, stays in the text as a line that says so, and is counted (``placeholders.py``).

Every text that comes from a file is sanitized in ``parsed.py`` or ``json_file.py``.
"""
