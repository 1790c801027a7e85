"""The two themes of the project: the jade green of baize cloth on dark and on light."""

from __future__ import annotations

from textual.theme import Theme

BAIZE_DARK = Theme(
    name="baize-dark",
    dark=True,
    primary="#4fb286",
    secondary="#7f9c8f",
    accent="#4fb286",
    foreground="#d7dcd9",
    background="#121614",
    surface="#171c1a",
    panel="#1e2522",
    success="#4fb286",
    warning="#d9a45b",
    error="#d9736b",
    variables={
        "footer-key-foreground": "#4fb286",
        "input-selection-background": "#4fb286 30%",
        "block-cursor-foreground": "#121614",
        "block-cursor-background": "#4fb286",
        "border-blurred": "#1e2522",
    },
)

BAIZE_LIGHT = Theme(
    name="baize-light",
    dark=False,
    primary="#1d7a52",
    secondary="#5c7268",
    accent="#1d7a52",
    foreground="#1d2420",
    background="#fbfcfb",
    surface="#f3f6f4",
    panel="#e8eeea",
    success="#1d7a52",
    warning="#8a5a0b",
    error="#b23b33",
    variables={
        "footer-key-foreground": "#1d7a52",
        "input-selection-background": "#1d7a52 25%",
        "block-cursor-foreground": "#fbfcfb",
        "block-cursor-background": "#1d7a52",
        "border-blurred": "#e8eeea",
    },
)
