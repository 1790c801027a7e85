"""Changing one setting in the file; everything else stays as the person wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from baize_shared.atomic_files import write_atomically
from baize_shared.private_files import private_folder
from baize_tui.settings import UNREADABLE, Settings, SettingsError, decode_settings
from baize_tui.shared_texts import NAMED, tr_shared
from baize_tui.translation import tr


def write_setting(file: Path, table: str, key: str, value: Any) -> Settings:
    """Set one key in ``file``, or remove it if ``value`` is None; return all settings.

    Everything else stays as it is, comments included. The new content is checked, written beside
    the old file and renamed over it, so that a full disk loses nothing; a link stays a link.

    Raises:
        SettingsError: the old or the new content is invalid, or the file cannot be written.
    """
    target = file.resolve()
    try:
        before = target.read_text(encoding="utf-8-sig") if target.exists() else ""
        document = tomlkit.parse(before)
    except OSError as error:
        raise SettingsError(tr(UNREADABLE, file=file, why=tr_shared(error.strerror))) from error
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise SettingsError(tr(NAMED, name=file, why=error)) from error
    except RecursionError as error:
        raise SettingsError(tr(NAMED, name=file, why=tr("it is nested too deeply"))) from error
    section = document.get(table)
    if value is None:
        if section is not None and key in section:
            del section[key]
    else:
        if section is None:
            section = document[table] = tomlkit.table()
        section[key] = value
    after = tomlkit.dumps(document).encode()
    settings = decode_settings(after, file)
    try:
        private_folder(target.parent)
        write_atomically(target, after)
    except OSError as error:
        why = tr_shared(error.strerror)
        raise SettingsError(tr("{file}: cannot be written: {why}", file=file, why=why)) from error
    return settings
