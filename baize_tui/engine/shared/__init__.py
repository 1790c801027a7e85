"""One model process for several clients: ``baize-tui web`` has one for all its tabs.

The clients speak the worker's own protocol over a Unix socket, so they need to know nothing of each
other; see ``docs/decisions/one-engine-for-all-tabs.md``.
"""
