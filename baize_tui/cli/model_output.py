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
from baize_tui.catalog.fit import Machine
from baize_tui.catalog.lineage import lineage
from baize_tui.catalog.pull_records import PullRecord
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.engine.protocol import GgufHeader

Rows = dict[str, str]


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
            about = f"(default) {about}"
        base = f" (over {entry.recipe.base})" if isinstance(entry, CatalogAdapter) else ""
        yield f"{entry.name:<{width}}  {size:>9}  {state:<13}  {about}{base}"


def _size_and_state(entry: CatalogModel | CatalogAdapter, machine: Machine) -> tuple[str, str]:
    if (size := entry.file_bytes) is not None:
        return size_text(size), "installed"
    if isinstance(entry, CatalogModel) and entry.recipe.server is not None:
        return "", "on a server"
    likely = estimated_bytes(entry.recipe) if isinstance(entry, CatalogModel) else None
    if likely is None:
        return "", "not installed"
    return f"≈ {size_text(likely)}", estimated_fit(likely, machine)


def info_lines(rows: Rows) -> Iterator[str]:
    width = max(map(len, rows))
    for label, value in rows.items():
        yield f"{label:<{width}}  {value}"


def info_rows(
    entry: CatalogModel | CatalogAdapter, header: GgufHeader | None, record: PullRecord | None
) -> Rows:
    """Recipe, header, licence and origin, by label; without empty values."""
    is_model = isinstance(entry, CatalogModel)
    rows = {
        "name": entry.name,
        "title": header.name if header is not None else entry.recipe.title,
        "about": entry.recipe.description,
        "file": str(entry.path) if header is not None else _missing_file(entry),
    }
    if header is not None:
        rows |= {"size": _size(header, entry), "architecture": header.architecture}
        rows |= _weight_rows(header) if is_model else {}
        rows |= {"problem": header.problem if is_model else ""}
    rows |= _recipe_rows(entry, header)
    if record is not None:
        rows |= {f"at {repo}": commit for repo, commit in record.commits.items()}
        rows |= {
            "sha256": record.sha256 or "",
            "pulled": time.strftime("%Y-%m-%d %H:%M", time.localtime(record.pulled_at)),
        }
    rows |= lineage(header.metadata) if header is not None else {}
    return {key: value for key, value in rows.items() if value}


def _size(header: GgufHeader, entry: CatalogModel | CatalogAdapter) -> str:
    files = model_files(entry.path) if entry.path is not None else []
    several = f" in {len(files)} files" if len(files) > 1 else ""
    return size_text(header.file_bytes) + several


def _missing_file(entry: CatalogModel | CatalogAdapter) -> str:
    if isinstance(entry, CatalogModel):
        if entry.recipe.package is not None:
            return f"not installed: it comes with the Python package {entry.recipe.package}"
        if entry.recipe.server is not None:
            return f"on a server: {entry.recipe.origin}"
        is_on_hub = entry.recipe.is_on_hub
    else:
        is_on_hub = entry.recipe.adapter is not None
    if is_on_hub:
        return f"not installed: 'baize-tui models pull {entry.name}' downloads it"
    return f"missing: {entry.recipe.file}"


def _weight_rows(header: GgufHeader) -> Rows:
    return {
        "parameters": f"{header.parameters / 1e6:,.0f} million",
        "quantization": header.quantization,
        "context": f"{header.context_length} tokens",
        "vocabulary": f"{header.vocabulary} tokens ({header.tokenizer})",
        "layers": f"{header.layers}, {header.heads} heads ({header.heads_kv} KV)",
        "template": "in the file" if header.chat_template else "none, ChatML is used",
    }


def _recipe_rows(entry: CatalogModel | CatalogAdapter, header: GgufHeader | None) -> Rows:
    recipe = entry.recipe
    if isinstance(entry, CatalogModel):
        adapter_of, source = "", entry.recipe.origin
    else:
        adapter_of = entry.recipe.base or "any that it fits"
        source = entry.recipe.adapter or ""
    return {
        "adapter of": adapter_of,
        "format": recipe.format or "",
        "licence": recipe.license or (header.license if header is not None else ""),
        "notice": recipe.notice,
        "domain": recipe.domain.name if recipe.domain is not None else "",
        "disclaimer": recipe.domain.disclaimer if recipe.domain is not None else "",
        "source": source,
    }
