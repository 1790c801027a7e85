"""Files that look like secrets: they are attached only if the person insists."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

from baize_tui.translation import msg

_NAMES = (
    *(
        ".env",
        ".env.*",
        "*.env",
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.jks",
        "*.kdbx",
        "*.keystore",
    ),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", "_netrc", ".pgpass", ".my.cnf"),
    *(".git-credentials", ".htpasswd", ".npmrc", ".pypirc", "credentials", "credentials.*"),
    *("server-keys.toml", "shadow", "secrets.*", "*.gpg", "*.asc"),
)
_NOT_SECRET = (".env.example", ".env.sample", ".env.template", "*.pub")
ITS_NAME = msg("its name")
_CONTENTS = {
    msg("a private key"): r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY",
    msg("an AWS key"): r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    msg("a GitHub token"): r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,})",
    msg("a Slack token"): r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    msg("a Google key"): r"\bAIza[0-9A-Za-z_-]{35}",
    msg("a Hugging Face token"): r"\bhf_[A-Za-z0-9]{30,}",
    msg("an API key"): r"\bsk-[A-Za-z0-9_-]{20,}",
}
_SEARCHED = 1 << 20


def secret_in_name(path: Path) -> str:
    """Why the name of a file looks like that of a secret, a message; empty if it does not."""
    name = path.name.lower()
    if any(fnmatch(name, pattern) for pattern in _NOT_SECRET):
        return ""
    return ITS_NAME if any(fnmatch(name, pattern) for pattern in _NAMES) else ""


def secret_in_text(text: str) -> str:
    """What in a text looks like a secret, a message; empty if nothing does."""
    begin = text[:_SEARCHED]
    return next((what for what, pattern in _CONTENTS.items() if re.search(pattern, begin)), "")
