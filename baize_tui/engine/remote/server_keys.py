"""The keys of servers. Each belongs to one host, and is sent to no other."""

from __future__ import annotations

import importlib
import os
import stat
from pathlib import Path

from baize_shared.server_address import ServerAddress
from baize_shared.toml_files import TomlError, read_toml
from baize_tui.engine.client import EngineFailure
from baize_tui.shared_texts import file_error
from baize_tui.translation import msg, tr

KEY_VARIABLE, OPENAI_VARIABLE = "BAIZE_SERVER_KEY", "OPENAI_API_KEY"
KEYRING_SERVICE = "baize-tui"
_OPENAI = "https://api.openai.com"


HOW_TO_GIVE = msg('set {variable} to {host}=KEY, or write "{host}" = "KEY" into {file}')
NO_KEYS = msg('{file} is not a list of keys: write one line "HOST" = "KEY" for each server')


def find_key(address: ServerAddress, file: Path) -> str:
    """The key for the host of ``address``; empty if there is none.

    The first of: ``BAIZE_SERVER_KEY`` with ``HOST=KEY``, ``OPENAI_API_KEY`` for OpenAI alone,
    ``file`` with a line ``"HOST" = "KEY"``, and the keyring if the library is installed.

    Raises:
        EngineFailure: the key or the file cannot be used; the message never contains the key.
    """
    key = _from_environment(address) or _from_file(address.host, file)
    key = (key or _from_keyring(address.host)).strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EngineFailure(
            tr("the key for {host} has characters that no key has", host=address.host), "load"
        )
    return key


def how_to_give(host: str, file: Path) -> str:
    """Where a person puts a key."""
    return tr(HOW_TO_GIVE, variable=KEY_VARIABLE, host=host, file=file)


def _from_environment(address: ServerAddress) -> str:
    host, equals, key = os.environ.get(KEY_VARIABLE, "").partition("=")
    if equals and host.strip().lower() == address.host:
        return key
    if f"{address.url}/".startswith(f"{_OPENAI}/"):
        return os.environ.get(OPENAI_VARIABLE, "")
    return ""


def _from_file(host: str, file: Path) -> str:
    try:
        mode = file.stat().st_mode
        keys = read_toml(file, dict[str, str], clean=False)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise EngineFailure(file_error(file, error), "load") from error
    except TomlError:
        # Without the reason, which may quote a key.
        raise EngineFailure(tr(NO_KEYS, file=file), "load") from None
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise EngineFailure(
            tr("others can read the keys in {file}: chmod 600 {file}", file=file), "load"
        )
    return {name.lower(): key for name, key in keys.items()}.get(host, "")


def _from_keyring(host: str) -> str:
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        return ""
    try:
        return keyring.get_password(KEYRING_SERVICE, host) or ""
    except keyring.errors.KeyringError:  # none is set up, or it stays locked
        return ""
