"""Models on OpenAI-compatible servers, through the same interface as those on this computer.

``routed_engine`` has the engine that others use: it sends requests to the worker process or to a
server, whichever has the loaded model. ``remote_engine`` is the model on a server,
``remote_generation`` one answer of it. What a server sends is untrusted: its texts are sanitized
where they enter, its sizes are bounded, and each of its failures is one line.
"""
