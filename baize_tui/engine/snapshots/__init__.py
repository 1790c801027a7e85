"""What the KV cache held, saved to files, so that a conversation opens without reading it again.

A conversation is saved in blocks of consecutive tokens, each with all ids that it depends on: a
later turn adds blocks, and branches share those before they part. ``block_file`` is the format,
``state_key`` what a state depends on, ``snapshot_folder`` the files of all conversations and their
budget.
"""
