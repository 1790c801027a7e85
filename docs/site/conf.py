"""The pages of docs/ as a site, with Sphinx and MyST: `make site` writes it to site/."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
ROOT_PAGES = ("CONTRIBUTING", "CHANGELOG", "SECURITY")

project = "白泽 Baize"
copyright = "the authors of Baize"
extensions = ["myst_parser"]
root_doc = "README"
exclude_patterns = ["site"]
html_theme = "furo"
html_title = project
html_copy_source = False
myst_heading_anchors = 3
# JSON lines with a comment, and the like.
suppress_warnings = ["misc.highlighting_failure", "myst.xref_missing_lexer"]
TOC = """
```{toctree}
:hidden:
:caption: Use the client

tutorial
install
chat
keys
configure
settings
translating
models
servers
adapters
recipes
export
scripting
gpu
peers
where-files-are
```

```{toctree}
:hidden:
:caption: Make a model

train
input-formats
convert
adapter-matrix
tokenizers
```

```{toctree}
:hidden:
:caption: Understand and change it

how-it-works
performance
decisions/README
testing
licences
CONTRIBUTING
CHANGELOG
SECURITY
```
"""
DECISIONS_TOC = """
```{toctree}
:hidden:
:glob:

*
```
"""


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Lead links out of ``docs`` to the pages of the site, and add the tables of contents."""
    up = "../" * (name.count("/") + 1)
    for page in ROOT_PAGES:
        source[0] = source[0].replace(f"]({up}{page}.md)", f"]({up[3:]}{page}.md)")
    if name in ROOT_PAGES:
        source[0] = source[0].replace("](docs/", "](")
    if name == "README":
        source[0] += TOC
    if name == "decisions/README":
        source[0] += DECISIONS_TOC


def setup(app: Sphinx) -> None:
    app.connect("source-read", read)
