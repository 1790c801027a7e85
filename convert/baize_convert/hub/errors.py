"""What can go wrong on the way to the hub, as ``ConvertError``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from baize_convert.failures import ConvertError, reason
from baize_convert.hub.names import HubName

if TYPE_CHECKING:
    from httpx2 import Response

Subject = HubName | Path
"""What an error is about: a repository, or ``hf:owner/name/file``."""


@contextmanager
def translate_hub_errors(name: Subject) -> Iterator[None]:
    """Raise errors of requests as a ``ConvertError`` that says what to do.

    Broken connections pass through: the same request may work a little later.
    """
    from httpx2 import HTTPError, InvalidURL, StreamError, TransportError
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        yield
    except TransportError:
        raise
    except OfflineModeIsEnabled as error:
        raise offline_error(name) from error
    except (HTTPError, InvalidURL, StreamError, OSError) as error:
        raise hub_error(name, error) from error
    except (ValueError, UnicodeError) as error:  # headers that are none
        raise hub_error(name, error) from error


def status_error(name: Subject, answer: Response) -> ConvertError:
    """The error for the status of an answer, 400 or above."""
    code = answer.headers.get("X-Error-Code", "")
    if code == "GatedRepo":
        return ConvertError(
            f"{name}: gated: accept its terms on its page, then run 'hf auth login'"
        )
    if code == "RevisionNotFound":
        return ConvertError(f"{name}: no such revision")
    if code == "EntryNotFound":
        return ConvertError(f"{name}: the hub does not have this file")
    if code == "RepoNotFound" or answer.status_code == 401:
        return ConvertError(
            f"{name}: no such repository, or a private one: log in with 'hf auth login'"
        )
    return _unreachable(name, f"status {answer.status_code}")


def hub_error(name: Subject, error: Exception) -> ConvertError:
    """The error for a request that failed."""
    return _unreachable(name, reason(error))


def offline_error(name: Subject) -> ConvertError:
    """The error for what is not in the cache while the network is off."""
    return ConvertError(
        f"{name}: the network is off, and the hub's cache does not have all of its files"
    )


def cache_error(name: Subject, error: OSError) -> ConvertError:
    """The error for what cannot be written to the hub's own cache."""
    return ConvertError(
        f"{name}: the hub's cache cannot be written ({error.filename or 'its folder'}: "
        f"{error.strerror}): HF_HOME names another folder for it"
    )


def _unreachable(name: Subject, why: str) -> ConvertError:
    return ConvertError(
        f"{name}: the hub cannot be reached, or fails ({why}): run the same command again later to "
        "resume"
    )
