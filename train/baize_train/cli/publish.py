"""``baize-train publish``: an adapter, or GGUFs, to a repository on the Hugging Face Hub."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from baize_convert.hub.names import HUB_PREFIX
from baize_shared.counts import count_text
from baize_shared.printing import print_json, print_line
from baize_shared.sizes import size_text
from baize_shared.tables import table
from baize_shared.typed_text import typed_text
from baize_shared.user_paths import expand_user
from baize_train.cli import flags
from baize_train.errors import TrainError, warn
from baize_train.publishing.contents import FolderContents, is_hub_name, read_contents
from baize_train.publishing.hub_upload import require_token, upload


@dataclass(frozen=True, kw_only=True)
class PublishOptions:
    """Options of ``baize-train publish``."""

    folder: Annotated[Path, typer.Argument(help="Folder of an adapter, or of GGUF files.")]
    repository: Annotated[str, typer.Argument(help="owner/name on the hub.", parser=typed_text)]
    public: Annotated[
        bool, typer.Option("--public", help="Let everyone read it; by default it is private.")
    ] = False
    base: Annotated[
        str | None,
        typer.Option(
            help="The base's owner/name on the hub, if the adapter has a local one.",
            parser=typed_text,
        ),
    ] = None
    yes: Annotated[bool, typer.Option("--yes", help="Send without a question.")] = False
    json: flags.Json = False


def run_publish(options: PublishOptions) -> None:
    """Check the folder, show what would be sent, and send it after a yes."""
    repository = _hub_name(options.repository)
    base = None if options.base is None else _hub_name(options.base)
    contents = read_contents(expand_user(options.folder), base)
    token = require_token()
    if not options.json:
        _print_contents(contents, repository, public=options.public)
    if not options.yes:
        _confirm(contents, repository, public=options.public)
    sent = upload(repository, contents, token, public=options.public)
    if options.json:
        print_json(
            {
                "repository": repository,
                "url": sent.url,
                "commit": sent.commit,
                "public": options.public,
                "files": [{"name": file.name, "size": file.size} for file in contents.files],
            }
        )
        return
    print_line(f"published: {sent.url} (commit {sent.commit[:12]})")


def _hub_name(text: str) -> str:
    name = text.removeprefix(HUB_PREFIX)
    if not is_hub_name(name):
        raise TrainError(f"{text}: not a name on the hub; write owner/name")
    return name


def _print_contents(contents: FolderContents, repository: str, *, public: bool) -> None:
    print_line(f"to {_destination(repository, public=public)}:")
    for line in table([(f"  {file.name}", f"{file.size:,} bytes") for file in contents.files]):
        print_line(line)
    if changed := [file.name for file in contents.files if isinstance(file.source, bytes)]:
        print_line(f"with public names in place of local ones: {', '.join(changed)}")
    if contents.base is not None:
        print_line(f"base: {contents.base}")
    if contents.left_out:
        warn(f"not sent: {', '.join(contents.left_out)}")


def _destination(repository: str, *, public: bool) -> str:
    return f"the {'public' if public else 'private'} repository {repository}"


def _confirm(contents: FolderContents, repository: str, *, public: bool) -> None:
    """Raises ``TrainError`` unless a person at the terminal agrees."""
    what = (
        f"{count_text(len(contents.files), 'file')} ({size_text(contents.size)}) to "
        f"{_destination(repository, public=public)}"
    )
    if not sys.stdin.isatty():
        raise TrainError(f"this sends {what}: add --yes to do it without a question")
    if not typer.confirm(f"Send {what}?", err=True):
        raise TrainError("nothing was sent")
