"""Models on the Hugging Face hub: a repository at one commit.

Its small files come through the hub's own cache, its weights by byte ranges, or out of that cache
where they are there already.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from baize_convert.failures import ConvertError
from baize_convert.hub_download import Progress, download
from baize_convert.hub_files import CachedFile, RangeFile
from baize_convert.hub_names import HubName
from baize_convert.hub_requests import HubFile, clear
from baize_convert.huggingface_folder import weight_files
from baize_convert.stored_tensors import ByteSource

_SMALL = ["*.json", "*.model", "*.jinja", "*.md", "*.txt"]


class HubRepository:
    """A repository at one commit; ``folder`` holds its small files."""

    def __init__(self, name: HubName, commit: str, folder: Path, files: frozenset[str]) -> None:
        self.name, self.commit, self.folder, self.files = name, commit, folder, files

    @property
    def label(self) -> str:
        return self.name.repo

    def file(self, name: str) -> HubFile:
        return HubFile(self.name, self.commit, name)

    def has(self, file: str) -> bool:
        return file in self.files

    def open(self, file: str) -> ByteSource:
        """A file to read parts of: on the hub, or in the hub's cache where it is there already.

        Raises:
            ConvertError: the hub does not have it, or does not answer.
        """
        cached = self.cached(file)
        return RangeFile(self.file(file)) if cached is None else cached

    def cached(self, file: str) -> CachedFile | None:
        """The file in the hub's cache; None where it is not there."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.name.repo, file, revision=self.commit)
        return CachedFile(self.file(file), Path(found)) if isinstance(found, str) else None


def open_repository(name: HubName) -> HubRepository:
    """Pin ``name`` to the commit it has now, and fetch its small files into the hub's cache.

    Raises:
        ConvertError: there is none, it is gated or private, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    with clear(name):
        if constants.HF_HUB_OFFLINE:
            folder = Path(snapshot_download(name.repo, revision=name.revision))
            here = frozenset(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
            return HubRepository(name, folder.name, folder, here)
        # By its own revision, so that the cache knows later what it was, without a network too.
        folder = Path(snapshot_download(name.repo, revision=name.revision, allow_patterns=_SMALL))
        info = HfApi().model_info(name.repo, revision=folder.name)
        files = frozenset(one.rfilename for one in info.siblings or [])
    return HubRepository(name, folder.name, folder, files)


def keep_weights(name: HubName, progress: Progress = lambda _: None) -> None:
    """Download the weights of a checkpoint into the hub's cache, each checked against its hash.

    Raises:
        ConvertError: see ``open_repository`` and ``download``.
    """
    repository = open_repository(name)
    for file in weight_files(repository.folder, repository.has):
        keep(repository, file, progress)


def keep(repository: HubRepository, file: str, progress: Progress = lambda _: None) -> Path:
    """Download a file into the hub's cache, where every program that uses the hub finds it.

    Raises:
        ConvertError: see ``download``.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.file_download import repo_folder_name

    cached = repository.cached(file)
    if cached is None:
        place = repository.file(file).place()
        folder = repo_folder_name(repo_id=repository.name.repo, repo_type="model")
        cache = Path(constants.HF_HUB_CACHE)
        blob = cache / folder / "blobs" / place.etag
        # The hub's own lock of a blob: two programs never write the same one.
        lock = cache / ".locks" / folder / f"{place.etag}.lock"
        try:
            blob.parent.mkdir(parents=True, exist_ok=True)
            lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock):
                if not blob.exists():
                    download(repository.file(file), blob, progress)
        except OSError as error:
            raise ConvertError(f"{error.filename or blob}: {error.strerror}") from error
        with clear(repository.name):  # the blob is there: this gives it its name
            hf_hub_download(repository.name.repo, file, revision=repository.commit)
        cached = repository.cached(file)
        if cached is None:
            raise ConvertError(f"{repository.name}: the hub's cache does not keep {file}")
    else:
        progress(len(cached))
    return cached.path


def keep_adapter(repository: HubRepository) -> None:
    """Download the weights of an adapter into the hub's cache: a merge reads them many times.

    Raises:
        ConvertError: see ``download``.
    """
    for file in sorted(repository.files):
        if file.startswith("adapter_model."):
            keep(repository, file)
