"""Conversations as files for other programs and people: pure functions, one format in each module.

``rendering.py`` has the table of formats. JSON contains a conversation completely, and
``baize_tui.chat.imports`` reads it back; Markdown and HTML show all branches; ShareGPT has room for
one. Deleted messages and unsent words are in none of them.
"""
