"""The lessons as a notebook, made of the page: `lessons/lessons.ipynb`."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

PAGE = "lessons/index.md"
NOTEBOOK = "lessons/lessons.ipynb"
CODE = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
ANSWER = re.compile(r'^\?\?\? success "(.*?)"\n((?:    .*\n|\n(?=    ))+)', re.MULTILINE)
FIRST = (
    "Run from the folder of the checkout: `descend landscape --play` writes the page with the "
    "pictures to play with."
)


def on_files(files: Any, config: Any) -> Any:
    """Add the notebook when the documentation is built."""
    from mkdocs.structure.files import File

    text = (Path(config["docs_dir"]) / PAGE).read_text(encoding="utf-8")
    content = json.dumps(notebook_of(text), indent=1, ensure_ascii=False) + "\n"
    files.append(File.generated(config, NOTEBOOK, content=content))
    return files


def notebook_of(page: str) -> dict[str, Any]:
    """A notebook (nbformat 4.5) of a page in Markdown; its Python becomes cells that run."""
    cells = [_cell("markdown", FIRST, 0)]
    place = 0
    for found in CODE.finditer(page):
        cells.append(_cell("markdown", _prose(page[place : found.start()]), len(cells)))
        cells.append(_cell("code", found[1].strip("\n"), len(cells)))
        place = found.end()
    cells.append(_cell("markdown", _prose(page[place:]), len(cells)))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _prose(text: str) -> str:
    """Markdown that notebooks know: an answer folds, and there is no link to this notebook."""
    text = ANSWER.sub(_folded, text.strip("\n") + "\n")
    text = text.replace("[a notebook](lessons.ipynb)", "this notebook")
    text = re.sub(r"\[([^]]*)\]\(\.\./play\.html[^)]*\)", r"\1", text)
    return text.replace("](../", "](docs/").strip("\n")


def _folded(found: re.Match[str]) -> str:
    answer = textwrap.dedent(found[2]).strip()
    return f"<details><summary>{found[1]}</summary>\n\n{answer}\n\n</details>\n"


def _cell(kind: str, text: str, number: int) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return {**cell, "execution_count": None, "outputs": []} if kind == "code" else cell
