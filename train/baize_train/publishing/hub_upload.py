"""Send files to a repository on the Hugging Face Hub, through huggingface_hub.

The hub keeps each large file as soon as it has arrived, and one commit at the end adds all of them
to the repository. So an interrupted upload leaves the repository as it was, and the next one sends
only what is missing.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from baize_shared.offline import OFFLINE_VARIABLE, is_offline
from baize_train.errors import TrainError
from baize_train.publishing.contents import FolderContents

if TYPE_CHECKING:
    from httpx2 import Client, Request
    from huggingface_hub import HfApi

_TIMEOUT_S = 300.0
"""Seconds without a byte; huggingface_hub's own client waits forever."""
_MESSAGE = "Upload with baize-train"
_HIDDEN = "[token]"


@dataclass(frozen=True)
class Upload:
    """Where the files are now."""

    url: str
    commit: str


def require_token() -> str:
    """The token that huggingface_hub finds: ``HF_TOKEN``, or that of ``hf auth login``.

    Raises:
        TrainError: there is none, or the network is off.
    """
    from huggingface_hub import get_token

    if is_offline():
        raise TrainError(f"the network is off: unset {OFFLINE_VARIABLE} to publish")
    token = get_token()
    if token is None:
        raise TrainError(
            "the hub wants a token that may write: log in with 'hf auth login', or set HF_TOKEN"
        )
    return token


def upload(repository: str, contents: FolderContents, token: str, *, public: bool) -> Upload:
    """Make the repository ``owner/name`` unless it exists, and send the files in one commit.

    Raises:
        TrainError: the hub does not have the adapter's base or refuses something, the repository
            exists and is private where a public one was asked for, or the other way round, or the
            network fails.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    _prepare_library()
    api = HfApi(token=token)
    if contents.base is not None:
        with _translated(f"the base {contents.base}", token):
            api.model_info(contents.base)
    with _translated(repository, token):
        api.create_repo(repository, private=not public, exist_ok=True)
        _check_visibility(api, repository, public=public)
        commit = api.create_commit(
            repository,
            [
                CommitOperationAdd(
                    file.name, file.source if isinstance(file.source, bytes) else str(file.source)
                )
                for file in contents.files
            ],
            commit_message=_MESSAGE,
        )
    return Upload(f"{api.endpoint}/{repository}", commit.oid)


def _check_visibility(api: HfApi, repository: str, *, public: bool) -> None:
    """Raises ``TrainError`` if an existing repository is seen by others than was asked for."""
    private = bool(api.model_info(repository).private)
    if private and public:
        raise TrainError(
            f"{repository} exists and is private: leave --public out, or make it public in its "
            "settings on the hub"
        )
    if not private and not public:
        raise TrainError(
            f"{repository} exists and is public: add --public if everyone may read these files"
        )


def _prepare_library() -> None:
    """Let huggingface_hub send the token to the hub's host alone, and keep its lines off the
    terminal; it draws bars only where someone watches them."""
    import huggingface_hub
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    huggingface_hub.set_client_factory(_client)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bars()


def _client() -> Client:
    import httpx2

    return httpx2.Client(
        event_hooks={"request": [_keep_token]}, follow_redirects=True, timeout=_TIMEOUT_S
    )


def _keep_token(request: Request) -> None:
    """Take the token out of a request to another host: the hub's answers name addresses."""
    from huggingface_hub import constants

    hub = urlsplit(constants.ENDPOINT)
    url = urlsplit(str(request.url))
    if (url.scheme, url.hostname, url.port) != (hub.scheme, hub.hostname, hub.port):
        request.headers.pop("Authorization", None)


@contextmanager
def _translated(subject: str, token: str) -> Iterator[None]:
    """Raise what huggingface_hub raises as a ``TrainError`` of one line about ``subject``."""
    from httpx2 import HTTPError, InvalidURL, StreamError
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise TrainError(_refusal(subject, status, _said(error).replace(token, _HIDDEN))) from None
    except HFValidationError as error:
        raise TrainError(f"{subject}: not a name on the hub: {error}") from None
    except (HTTPError, InvalidURL, StreamError, OSError, RuntimeError) as error:
        cause = error.__cause__ or error
        why = f"{type(cause).__name__}: {cause}".replace(token, _HIDDEN)
        raise TrainError(
            f"{subject}: the hub cannot be reached, or the upload broke off ({why}): run the same "
            "command again to continue"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Its functions read the hub's JSON without looking at its form.
        why = f"{type(error).__name__}: {error}".replace(token, _HIDDEN)
        raise TrainError(
            f"{subject}: the hub refuses it, or the answer is not the hub's: {why}"
        ) from None


def _said(error: Exception) -> str:
    """What the hub said itself, without the library's advice around it."""
    return str(getattr(error, "server_message", None) or "").strip()


def _refusal(subject: str, status: int, said: str) -> str:
    reason = f" ({said})" if said else ""
    if status == 401 and "credentials" not in said.lower() and subject.startswith("the base "):
        return f"{subject}: the hub has no such repository{reason}"
    if status == 401:
        return (
            f"{subject}: the hub does not accept this token{reason}: log in again with "
            "'hf auth login', or set HF_TOKEN"
        )
    if status == 403:
        return (
            f"{subject}: this token may not write there{reason}: it needs the role write, and the "
            "owner must be you or an organization that you belong to"
        )
    if status == 404:
        return f"{subject}: the hub knows no such owner or repository{reason}"
    if status == 429 or status >= 500:
        return f"{subject}: the hub is busy or fails (status {status}){reason}: run it again later"
    return f"{subject}: the hub refuses it (status {status}){reason}"
