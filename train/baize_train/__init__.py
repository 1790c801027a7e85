"""``baize-train``: make a chat model of your own from dialogues that models write themselves.

``corpus`` reads, checks and writes dialogues; ``selfchat`` collects them from ``speakers``;
``tokens`` turns them into what the chat client sends; ``training`` fits a LoRA to that;
``feedback`` improves it by a judge's scores; ``evaluation`` measures the result.
"""
