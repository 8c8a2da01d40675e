"""Links between the project's documents lead somewhere, on disk and on the documentation site."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
GALLERY = runpy.run_path(str(DOCS / "hooks" / "gallery.py"))["MAKERS"]
MADE_BY_THE_BUILD = {
    DOCS / "play.html",
    DOCS / "lessons" / "lessons.ipynb",
    *(DOCS / "gallery" / f"{name}.html" for name in GALLERY),
}

_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*(?:\{[^}]*\})?\s*$", re.MULTILINE)


def relative_links(document: Path) -> Iterator[tuple[Path, str]]:
    """The file and the anchor ("" for none) of each link in `document` that names no host."""
    for target in _LINK.findall(_CODE.sub("", document.read_text("utf-8"))):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield (document.parent / file).resolve() if file else document, anchor


def anchors(document: Path) -> set[str]:
    """The anchors of the headings in `document`, and those written out."""
    text = document.read_text("utf-8")
    headings = (
        re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in _HEADING.findall(text)
    )
    return {re.sub(r"[\s]+", "-", heading) for heading in headings} | set(
        re.findall(r"(?:\bid=\"|\{#)([\w-]+)", text)
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_a_file_and_a_heading(document: Path) -> None:
    for file, anchor in relative_links(document):
        assert file.exists() or file in MADE_BY_THE_BUILD, f"{document.name} links to {file}"
        from_docstrings = anchor.startswith("descend.")
        if anchor and file.suffix == ".md" and not from_docstrings:
            assert anchor in anchors(file), f"{document.name} links to {file.name}#{anchor}"


@pytest.mark.parametrize("document", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_links_of_the_site_stay_in_it(document: Path) -> None:
    outside = [file for file, _ in relative_links(document) if not file.is_relative_to(DOCS)]
    assert not outside, f"{document.name}: the site has no {outside}; write the path as code"
