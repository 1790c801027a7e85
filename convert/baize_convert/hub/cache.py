"""Downloads into the hub's own cache, where every program that uses the hub finds them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from filelock import FileLock

from baize_convert.failures import ConvertError
from baize_convert.hub.download import Progress, download
from baize_convert.hub.errors import translate_hub_errors
from baize_convert.hub.names import HubName
from baize_convert.hub.repository import HubRepository, open_repository
from baize_convert.sources.huggingface_folder import weight_files


def cache_weights(name: HubName, progress: Progress = lambda _: None) -> None:
    """Download the weights of a checkpoint into the hub's cache, each checked against its hash.

    Raises:
        ConvertError: see ``open_repository`` and ``download``.
    """
    repository = open_repository(name)
    inside = f"{name.subfolder}/" if name.subfolder else ""
    files = repository.subfolder(name.subfolder)
    for file in weight_files(repository.folder / name.subfolder, files.has):
        cache_file(repository, f"{inside}{file}", progress)


def cache_file(repository: HubRepository, file: str, progress: Progress = lambda _: None) -> Path:
    """Download a file into the hub's cache, unless it is there; the path in the cache.

    Raises:
        ConvertError: see ``download``; or the cache cannot be written.
    """
    from huggingface_hub import hf_hub_download

    cached = repository.cached(file)
    if cached is not None:
        progress(len(cached))
        return cached.path
    _download_blob(repository, file, progress)
    with translate_hub_errors(repository.name):  # links the blob under its name
        hf_hub_download(repository.name.repo, file, revision=repository.commit)
    cached = repository.cached(file)
    if cached is None:
        raise ConvertError(f"{repository.name}: the hub's cache did not keep {file}")
    return cached.path


def _download_blob(repository: HubRepository, file: str, progress: Progress) -> None:
    """Write the content of a file where the hub's cache looks for it."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    location = repository.file(file).locate()
    folder = repo_folder_name(repo_id=repository.name.repo, repo_type="model")
    cache = Path(constants.HF_HUB_CACHE)
    blob = cache / folder / "blobs" / location.etag
    # The lock that huggingface_hub takes too: two programs never write the same blob.
    lock = cache / ".locks" / folder / f"{location.etag}.lock"
    try:
        blob.parent.mkdir(parents=True, exist_ok=True)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if not blob.exists():
                download(repository.file(file), blob, progress)
    except OSError as error:
        raise ConvertError(f"{error.filename or blob}: {error.strerror}") from error


def cache_adapter(repository: HubRepository, folder: str) -> None:
    """Download the weights of the adapter in ``folder``: a merge reads them many times.

    Raises:
        ConvertError: see ``download``.
    """
    for file in sorted(repository.files):
        if PurePosixPath(file).parent == PurePosixPath(folder) and "/adapter_model." in f"/{file}":
            cache_file(repository, file)
