"""Models and adapters as ``baize-tui models`` prints them, for a person and as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from baize_shared.sizes import size_text
from baize_shared.split_files import model_files
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.estimates import estimated_bytes, estimated_fit
from baize_tui.catalog.fit import FIT_NAMES, Machine
from baize_tui.catalog.lineage import ADAPTER, lineage
from baize_tui.catalog.pull_records import PullRecord
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.engine.protocol import GgufHeader
from baize_tui.measures import cells, padded
from baize_tui.translation import msg, tr, tr_foreign

AT_COMMIT = msg("at {repository}")
Rows = dict[str, str]
"""What is said of a model, by labels that are translated when they are printed."""


def model_json(model: CatalogModel) -> dict[str, Any]:
    return {
        **_shared_json(model),
        "source": model.recipe.origin,
        "estimated_bytes": estimated_bytes(model.recipe),
    }


def adapter_json(adapter: CatalogAdapter) -> dict[str, Any]:
    recipe = adapter.recipe
    return {**_shared_json(adapter), "base": recipe.base, "source": recipe.adapter or ""}


def _shared_json(entry: CatalogModel | CatalogAdapter) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "installed": entry.installed,
        "path": str(entry.path) if entry.path else None,
        "bytes": entry.file_bytes,
        "license": entry.recipe.license,
        "description": entry.recipe.description,
        "format": entry.recipe.format,
        "domain": entry.recipe.domain.name if entry.recipe.domain is not None else None,
    }


def info_json(
    entry: CatalogModel | CatalogAdapter, header: GgufHeader | None, record: PullRecord | None
) -> dict[str, Any]:
    """Everything about one model or adapter."""
    about = model_json(entry) if isinstance(entry, CatalogModel) else adapter_json(entry)
    return {
        **about,
        "header": msgspec.to_builtins(header) if header is not None else None,
        "pulled": msgspec.to_builtins(record) if record is not None else None,
        "lineage": lineage(header.metadata) if header is not None else {},
    }


def is_default(entry: CatalogModel | CatalogAdapter, default: CatalogModel | None) -> bool:
    return default is not None and (entry.name, entry.path) == (default.name, default.path)


def list_lines(
    models: Sequence[CatalogModel],
    adapters: Sequence[CatalogAdapter],
    default: CatalogModel | None,
    machine: Machine,
) -> Iterator[str]:
    """Name, size and description, one model or adapter a line; of a model that can be pulled, its
    likely size and whether it fits ``machine``."""
    entries: list[CatalogModel | CatalogAdapter] = [*models, *adapters]
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        size, state = _size_and_state(entry, machine)
        about = entry.recipe.description or entry.title
        if is_default(entry, default):
            about = tr("(default) {about}", about=about)
        if isinstance(entry, CatalogAdapter):
            about = tr("{about} (over {base})", about=about, base=entry.recipe.base)
        yield f"{entry.name:<{width}}  {size:>9}  {padded(state, 13)}  {about}"


def _size_and_state(entry: CatalogModel | CatalogAdapter, machine: Machine) -> tuple[str, str]:
    if (size := entry.file_bytes) is not None:
        return size_text(size), tr("installed")
    if isinstance(entry, CatalogModel) and entry.recipe.server is not None:
        return "", tr("on a server")
    likely = estimated_bytes(entry.recipe) if isinstance(entry, CatalogModel) else None
    if likely is None:
        return "", tr("not installed")
    return f"≈ {size_text(likely)}", tr(FIT_NAMES[estimated_fit(likely, machine)])


def info_lines(rows: Rows) -> Iterator[str]:
    labels = {label: _label_text(label) for label in rows}
    width = max(map(cells, labels.values()))
    for label, value in rows.items():
        yield f"{padded(labels[label], width)}  {value}"


def _label_text(label: str) -> str:
    return tr_foreign(tr(label), (AT_COMMIT, ADAPTER))


def info_rows(
    entry: CatalogModel | CatalogAdapter, header: GgufHeader | None, record: PullRecord | None
) -> Rows:
    """Recipe, header, licence and origin, by label; without empty values."""
    is_model = isinstance(entry, CatalogModel)
    rows = {
        msg("name"): entry.name,
        msg("title"): header.name if header is not None else entry.recipe.title,
        msg("about"): entry.recipe.description,
        msg("file"): str(entry.path) if header is not None else _missing_file(entry),
    }
    if header is not None:
        rows |= {msg("size"): _size(header, entry), msg("architecture"): header.architecture}
        rows |= _weight_rows(header) if is_model else {}
        rows |= {msg("problem"): header.problem if is_model else ""}
    rows |= _recipe_rows(entry, header)
    if record is not None:
        rows |= {
            AT_COMMIT.format(repository=repo): commit for repo, commit in record.commits.items()
        }
        rows |= {
            "sha256": record.sha256 or "",
            msg("pulled"): time.strftime("%Y-%m-%d %H:%M", time.localtime(record.pulled_at)),
        }
    rows |= lineage(header.metadata) if header is not None else {}
    return {key: value for key, value in rows.items() if value}


def _size(header: GgufHeader, entry: CatalogModel | CatalogAdapter) -> str:
    files = model_files(entry.path) if entry.path is not None else []
    size = size_text(header.file_bytes)
    return tr("{size} in {count} files", size=size, count=len(files)) if len(files) > 1 else size


def _missing_file(entry: CatalogModel | CatalogAdapter) -> str:
    if isinstance(entry, CatalogModel):
        if entry.recipe.package is not None:
            return tr(
                "not installed: it comes with the Python package {package}",
                package=entry.recipe.package,
            )
        if entry.recipe.server is not None:
            return tr("on a server: {address}", address=entry.recipe.origin)
        is_on_hub = entry.recipe.is_on_hub
    else:
        is_on_hub = entry.recipe.adapter is not None
    if is_on_hub:
        return tr("not installed: 'baize-tui models pull {name}' downloads it", name=entry.name)
    return tr("missing: {file}", file=entry.recipe.file)


def _weight_rows(header: GgufHeader) -> Rows:
    return {
        msg("parameters"): tr("{number} million", number=f"{header.parameters / 1e6:,.0f}"),
        msg("quantization"): header.quantization,
        msg("context"): tr("{number} tokens", number=header.context_length),
        msg("vocabulary"): tr(
            "{number} tokens ({kind})", number=header.vocabulary, kind=header.tokenizer
        ),
        msg("layers"): tr(
            "{layers}, {heads} heads ({heads_kv} KV)",
            layers=header.layers,
            heads=header.heads,
            heads_kv=header.heads_kv,
        ),
        msg("template"): tr("in the file") if header.chat_template else tr("none, ChatML is used"),
    }


def _recipe_rows(entry: CatalogModel | CatalogAdapter, header: GgufHeader | None) -> Rows:
    recipe = entry.recipe
    if isinstance(entry, CatalogModel):
        adapter_of, source = "", entry.recipe.origin
    else:
        adapter_of = entry.recipe.base or tr("any that it fits")
        source = entry.recipe.adapter or ""
    return {
        msg("adapter of"): adapter_of,
        msg("format"): recipe.format or "",
        msg("licence"): recipe.license or (header.license if header is not None else ""),
        msg("notice"): recipe.notice,
        msg("domain"): recipe.domain.name if recipe.domain is not None else "",
        msg("disclaimer"): recipe.domain.disclaimer if recipe.domain is not None else "",
        msg("source"): source,
    }
