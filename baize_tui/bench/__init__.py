"""``baize-tui bench``: the layers of the program, compared with llama.cpp alone on this machine.

``run`` measures in rounds, one thing after the other, so that whatever disturbs the machine
disturbs all of them. The layers are llama.cpp alone (``engine.llama.bare_loop``), the engine around
it in the model process, the same through the pipe of that process, and the client on a screen.
"""
