"""Downloads into the hub's own cache, where every program that uses the hub finds them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from filelock import FileLock

from baize_convert.hub.cache_folder import CacheFolder
from baize_convert.hub.download import Progress, download
from baize_convert.hub.errors import cache_error
from baize_convert.hub.names import HubName
from baize_convert.hub.repository import HubRepository, open_repository
from baize_convert.sources.huggingface_folder import weight_files


def missing_weights(repository: HubRepository, folder: str) -> int:
    """Bytes of the weights of the checkpoint in ``folder`` that ``cache_weights`` would download.

    Raises:
        ConvertError: it has no weights, or the hub does not answer.
    """
    files = weight_files(repository.folder / folder, repository.subfolder(folder).files)
    names = [f"{folder}/{file}".removeprefix("/") for file in files]
    missing = [name for name in names if repository.cached(name) is None]
    return sum(repository.file(name).locate().size for name in missing)


def cache_weights(name: HubName, progress: Progress = lambda _: None) -> None:
    """Download the weights of a checkpoint into the hub's cache, each checked against its hash.

    Raises:
        ConvertError: see ``open_repository`` and ``download``.
    """
    repository = open_repository(name)
    inside = f"{name.subfolder}/" if name.subfolder else ""
    files = repository.subfolder(name.subfolder).files
    for file in weight_files(repository.folder / name.subfolder, files):
        cache_file(repository, f"{inside}{file}", progress)


def cache_file(repository: HubRepository, file: str, progress: Progress = lambda _: None) -> Path:
    """Download a file into the hub's cache, unless it is there; the path in the cache.

    Raises:
        ConvertError: see ``download``; or the cache cannot be written.
    """
    cached = repository.cached(file)
    if cached is not None:
        progress(len(cached))
        return cached.path
    source = repository.file(file)
    cache, etag = CacheFolder(repository.name), source.locate().etag
    try:
        blob = cache.blob(etag)
        with FileLock(cache.lock(etag)):  # two programs never write the same content
            if not blob.exists():
                download(source, blob, progress)
        return cache.link(repository.commit, file, etag)
    except OSError as error:
        raise cache_error(source.path, error) from error


def cache_adapter(repository: HubRepository, folder: str) -> None:
    """Download the weights of the adapter in ``folder``: a merge reads them many times.

    Raises:
        ConvertError: see ``download``.
    """
    for file in sorted(repository.files):
        if PurePosixPath(file).parent == PurePosixPath(folder) and "/adapter_model." in f"/{file}":
            cache_file(repository, file)
