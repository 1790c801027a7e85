"""Conversations with a model: ``chat.py`` is the way in, for every screen and command.

``conversations.py`` and ``messages.py`` read and change what is saved; ``answering.py`` turns a
question into a saved answer; ``active_model.py`` says which model is loaded and which one a
conversation needs; ``effective_options.py`` which options apply; ``context.py`` what fits.
"""
