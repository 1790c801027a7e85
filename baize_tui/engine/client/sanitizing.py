"""Texts from models and files are data: they are sanitized where they enter the client."""

from __future__ import annotations

import msgspec

from baize_shared.sanitizer import clean_line, clean_text
from baize_tui.engine.protocol import (
    Delta,
    Event,
    Failed,
    Finished,
    GgufHeader,
    Inspected,
    Loaded,
)


def sanitize(event: Event) -> Event:
    """``event`` with texts that a terminal can show."""
    match event:
        case Delta() | Finished():
            return msgspec.structs.replace(
                event, text=clean_text(event.text), reasoning=clean_text(event.reasoning)
            )
        case Failed():
            return msgspec.structs.replace(event, why=clean_line(event.why, 500))
        case Loaded(model=model):
            model = msgspec.structs.replace(
                model,
                name=clean_line(model.name, 80),
                description=clean_line(model.description, 80),
            )
            return msgspec.structs.replace(event, model=model)
        case Inspected():
            return msgspec.structs.replace(event, header=_sanitize_header(event.header))
        case _:
            return event


def _sanitize_header(header: GgufHeader) -> GgufHeader:
    return msgspec.structs.replace(
        header,
        name=clean_line(header.name, 80),
        architecture=clean_line(header.architecture, 40),
        tokenizer=clean_line(header.tokenizer, 40),
        license=clean_line(header.license),
        chat_template=clean_text(header.chat_template),
        problem=clean_line(header.problem, 500),
        metadata={clean_line(key): clean_text(value) for key, value in header.metadata.items()},
    )
