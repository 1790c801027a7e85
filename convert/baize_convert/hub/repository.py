"""Repositories on the Hugging Face hub, each pinned to one commit.

Small files are downloaded into the hub's cache. Weights are read by byte ranges, or from that cache
if they are there already.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from baize_convert.failures import ConvertError
from baize_convert.hub.answers import check_file_name, parse_info
from baize_convert.hub.cache_folder import CacheFolder
from baize_convert.hub.cached_file import CachedFile
from baize_convert.hub.errors import cache_error, offline_error
from baize_convert.hub.exchange import follow, read_body, unusable
from baize_convert.hub.names import HubName
from baize_convert.hub.range_file import RangeFile
from baize_convert.hub.requests import HubFile
from baize_convert.sources.byte_source import ByteSource
from baize_convert.sources.remote_files import RemoteFiles
from baize_shared.private_files import create_file, private_folder
from baize_shared.sizes import size_text

if TYPE_CHECKING:
    from httpx2 import Response

_SMALL_FILES = ("*.json", "*.model", "*.jinja", "*.md", "*.txt")
_LARGEST_INFO = 16 << 20
_LARGEST_SMALL_FILE = 64 << 20
_MOST_SMALL_FILES = 500
_AT_ONCE = 4


class HubRepository:
    """A repository at one commit; its small files are in ``folder``, all names in ``files``."""

    def __init__(self, name: HubName, commit: str, folder: Path, files: frozenset[str]) -> None:
        self.name, self.commit, self.folder, self.files = name, commit, folder, files

    @property
    def label(self) -> str:
        return self.name.repo

    def file(self, name: str) -> HubFile:
        """A file of the repository.

        Raises:
            ConvertError: the name leads out of the repository.
        """
        check_file_name(self.name, name)
        return HubFile(self.name, self.commit, name)

    def has(self, file: str) -> bool:
        return file in self.files

    def open(self, file: str) -> ByteSource:
        """Open a file to read parts of it: from the hub's cache if it is there, else from the hub.

        Raises:
            ConvertError: the hub does not have it, or does not answer.
        """
        cached = self.cached(file)
        return RangeFile(self.file(file)) if cached is None else cached

    def cached(self, file: str) -> CachedFile | None:
        """The file in the hub's cache; None if it is not there.

        Raises:
            ConvertError: the name leads out of the repository.
        """
        path = CacheFolder(self.name).find(self.commit, file)
        return None if path is None else CachedFile(self.file(file), path)

    def subfolder(self, folder: str) -> RemoteFiles:
        """The files in a folder of the repository; all files if ``folder`` is empty."""
        return _Subfolder(self, folder) if folder else self


@dataclass(frozen=True)
class _Subfolder:
    """The files in a folder of a repository, by their names in it."""

    repository: HubRepository
    folder: str

    @property
    def label(self) -> str:
        return self.repository.label

    @property
    def commit(self) -> str:
        return self.repository.commit

    @property
    def files(self) -> frozenset[str]:
        begin = f"{self.folder}/"
        inside = (file for file in self.repository.files if file.startswith(begin))
        return frozenset(file.removeprefix(begin) for file in inside)

    def has(self, file: str) -> bool:
        return self.repository.has(f"{self.folder}/{file}")

    def open(self, file: str) -> ByteSource:
        return self.repository.open(f"{self.folder}/{file}")


def open_repository(name: HubName) -> HubRepository:
    """Pin ``name`` to its current commit, and download its small files into the hub's cache.

    A folder in ``name`` is not looked at.

    Raises:
        ConvertError: no such repository, it is gated or private, the hub cannot be reached, or what
            answers is not the hub.
    """
    from huggingface_hub import constants

    name = replace(name, subfolder="")
    cache = CacheFolder(name)
    if constants.HF_HUB_OFFLINE:
        commit = cache.remembered(name.revision)
        if commit is None or not cache.snapshot(commit).is_dir():
            raise offline_error(name)
        folder = cache.snapshot(commit)
        files = frozenset(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
        return HubRepository(name, commit, folder, files)
    commit, files = _ask_for_info(name)
    repository = HubRepository(name, commit, cache.snapshot(commit), files)
    try:
        # By revision too: the cache then resolves it without a network.
        cache.remember(name.revision, commit)
        private_folder(repository.folder)
        _cache_small_files(repository, cache)
    except OSError as error:
        raise cache_error(name, error) from error
    return repository


def _ask_for_info(name: HubName) -> tuple[str, frozenset[str]]:
    from huggingface_hub import constants

    def read(_: str, answer: Response) -> bytes:
        if answer.status_code != 200 or "json" not in answer.headers.get("Content-Type", "json"):
            raise unusable(name, f"has the status {answer.status_code} and is not JSON", answer)
        return read_body(name, answer, _LARGEST_INFO)

    revision = quote(name.revision, safe="")
    url = f"{constants.ENDPOINT}/api/models/{name.repo}/revision/{revision}"
    # Once: a person who is offline should not wait for several attempts.
    return parse_info(name, follow(name, "GET", url, read, attempts=1))


def _cache_small_files(repository: HubRepository, cache: CacheFolder) -> None:
    files = sorted(
        file
        for file in repository.files
        if any(fnmatch(file, pattern) for pattern in _SMALL_FILES)
        and cache.find(repository.commit, file) is None
    )
    if len(files) > _MOST_SMALL_FILES:
        raise ConvertError(
            f"{repository.name} has {len(files)} small files, which is too many for a model"
        )
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for download in [pool.submit(_cache_small_file, repository, cache, f) for f in files]:
            download.result()


def _cache_small_file(repository: HubRepository, cache: CacheFolder, name: str) -> None:
    file = repository.file(name)
    location = file.locate()
    if location.size > _LARGEST_SMALL_FILE:
        raise ConvertError(
            f"{file.path} has {size_text(location.size)}, which is too much for a file of its kind"
        )
    blob = cache.blob(location.etag)
    if not blob.is_file():
        content = file.read_whole(location)
        if location.sha256 not in (None, hashlib.sha256(content).hexdigest()):
            raise ConvertError(f"{file.path} was damaged during the download: start again")
        partial = blob.with_name(f"{blob.name}.{os.urandom(4).hex()}.partial")
        with os.fdopen(create_file(partial), "wb") as opened:
            opened.write(content)
        partial.replace(blob)
    cache.link(repository.commit, name, location.etag)
