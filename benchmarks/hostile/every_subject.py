"""All kinds of hostile inputs."""

from __future__ import annotations

from benchmarks.hostile import (
    configuration,
    conversations,
    corpora,
    models,
    questions,
    servers,
)
from benchmarks.hostile.subjects import Subject

SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for module in (models, configuration, conversations, questions, servers, corpora)
    for subject in module.SUBJECTS
}
"""By name."""
