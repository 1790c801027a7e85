"""Where the hub's own cache has a repository: contents by hash, and links to them by commit.

The layout is huggingface_hub's (``snapshots/COMMIT/FILE`` is a link to ``blobs/ETAG``, and
``refs/REVISION`` names a commit), so every program that uses the hub finds the files.
"""

from __future__ import annotations

import os
from pathlib import Path

from baize_convert.hub.answers import COMMIT, check_file_name
from baize_convert.hub.names import HubName
from baize_shared.atomic_files import write_atomically
from baize_shared.private_files import private_folder

_LONGEST_REFERENCE = 100


class CacheFolder:
    """The folder of one repository; nothing outside it is ever written."""

    def __init__(self, name: HubName) -> None:
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        self._name = name
        folder = repo_folder_name(repo_id=name.repo, repo_type="model")
        self._root = Path(constants.HF_HUB_CACHE) / folder
        self._locks = Path(constants.HF_HUB_CACHE) / ".locks" / folder

    def blob(self, etag: str) -> Path:
        """Where the content with this ETag is stored; the folder exists.

        Raises:
            OSError: the folder cannot be created.
        """
        return private_folder(self._root / "blobs") / etag

    def lock(self, etag: str) -> Path:
        """The lock that huggingface_hub takes too, before it writes a content.

        Raises:
            OSError: its folder cannot be created.
        """
        return private_folder(self._locks) / f"{etag}.lock"

    def snapshot(self, commit: str) -> Path:
        """The folder with the files of a commit, which may not exist."""
        return self._root / "snapshots" / commit

    def find(self, commit: str, file: str) -> Path | None:
        """The path of a file of a commit; None if the cache does not have it.

        Raises:
            ConvertError: ``file`` is outside the repository.
        """
        check_file_name(self._name, file)
        path = self.snapshot(commit) / file
        return path if path.is_file() else None

    def link(self, commit: str, file: str, etag: str) -> Path:
        """Give a content the name of a file of a commit.

        Raises:
            OSError: the link cannot be created.
            ConvertError: ``file`` is outside the repository.
        """
        check_file_name(self._name, file)
        path = self.snapshot(commit) / file
        private_folder(path.parent)
        link = path.with_name(f".{os.urandom(4).hex()}.link")
        link.symlink_to(os.path.relpath(self.blob(etag), path.parent))
        link.replace(path)
        return path

    def remember(self, revision: str, commit: str) -> None:
        """Note the commit of a branch or tag, for use without a network.

        Raises:
            OSError: the note cannot be written.
            ConvertError: ``revision`` is outside the repository.
        """
        if revision != commit:
            check_file_name(self._name, revision)
            file = self._root / "refs" / revision
            private_folder(file.parent)
            write_atomically(file, commit.encode())

    def remembered(self, revision: str) -> str | None:
        """The commit that a branch or tag had; None if it is not known.

        Raises:
            ConvertError: ``revision`` is outside the repository.
        """
        if COMMIT.fullmatch(revision):
            return revision
        check_file_name(self._name, revision)
        try:
            with (self._root / "refs" / revision).open("rb") as file:
                commit = file.read(_LONGEST_REFERENCE).decode("ascii", "replace").strip()
        except OSError:
            return None
        return commit if COMMIT.fullmatch(commit) else None
