"""What the models of a self-chat are told, and the grammar of a transcript."""

from __future__ import annotations

TRANSCRIPT_PROMPT = (
    "Forget the instruction you have previously received. The following is a conversation between "
    "a human and an AI assistant. The human and the AI assistant take turns chatting about the "
    "topic: '{seed}'. Human statements start with [Human] and AI assistant statements start with "
    "[AI]. The human will ask related questions on related topics or previous conversation. The "
    "human will stop the conversation when they have no more question. The AI assistant tries not "
    "to ask questions. Complete the transcript in exactly that format.\n[Human] Hello!\n[AI] Hi! "
    "How can I help you?\n"
)
"""The prompt of the paper (appendix A), word for word."""
ASKER_PROMPT = (
    "You play a person who talks with an AI assistant about this topic: '{seed}'. You are given "
    "what the assistant said; write only the person's next message: one short, related question or "
    "request, as a person would type it. Do not answer it and do not thank. If the person would "
    "have no more questions, write only: [END]"
)
_PERSONA = "The person: {persona}. Write as this person would. "
END = "[END]"
"""The asker's reply when it has no more questions."""


def asker_prompt(seed: str, persona: str = "") -> str:
    """What the model is told that plays the user."""
    prompt = ASKER_PROMPT.format(seed=seed)
    if not persona:
        return prompt
    before, given, after = prompt.rpartition("You are given what")
    return f"{before}{_PERSONA.format(persona=persona.rstrip('.'))}{given}{after}"


def transcript_grammar(turns: int) -> str:
    """GBNF of a transcript that continues its seed with ``turns`` answers.

    Small models do not follow the format without it.
    """
    more = " ".join(["turn"] * (turns - 1))
    return (
        f'root ::= "[AI] " answer {more}\n'
        'turn ::= "\\n[Human] " question "?\\n[AI] " answer\n'
        "question ::= [^\\n?\\[\\]]+\n"
        "answer ::= [^\\n\\[\\]]+\n"
    )
