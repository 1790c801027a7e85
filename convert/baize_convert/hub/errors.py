"""The exceptions of huggingface_hub as ``ConvertError``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from baize_convert.failures import ConvertError, reason
from baize_convert.hub.names import HubName


@contextmanager
def translate_hub_errors(name: HubName) -> Iterator[None]:
    """Raise what huggingface_hub raises as a ``ConvertError`` that says what to do."""
    from httpx2 import HTTPError
    from huggingface_hub import constants, errors
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    # It logs every attempt and shows a bar for small files; errors and bars of ours are enough.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        yield
    except errors.GatedRepoError as error:
        raise ConvertError(
            f"{name}: gated: accept its terms on its page, then run 'hf auth login'"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ConvertError(f"{name}: no such revision") from error
    except errors.RepositoryNotFoundError as error:
        raise ConvertError(
            f"{name}: no such repository, or a private one: log in with 'hf auth login'"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        if constants.HF_HUB_OFFLINE:
            raise ConvertError(
                f"{name}: the network is off, and the hub's cache does not have all of its files"
            ) from error
        raise _unreachable(name, error) from error
    except errors.EntryNotFoundError as error:
        raise ConvertError(f"{name}: {reason(error)}") from error
    except (errors.HfHubHTTPError, HTTPError, OSError) as error:
        raise _unreachable(name, error) from error


def _unreachable(name: HubName, error: Exception) -> ConvertError:
    return ConvertError(
        f"{name}: the hub cannot be reached, or fails ({reason(error)}): run the same command "
        "again later to resume"
    )
