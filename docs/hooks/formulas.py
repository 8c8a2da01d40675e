r"""Formulas in the documentation: `$...$` in a line and `$$...$$` alone become MathML.

Browsers draw MathML themselves, so a page needs no script and no network for it. Only what the
documentation uses of LaTeX is known; anything else ends the build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any

CODE = re.compile(r"^```.*?^```$|^(?: {4}|\t).*?$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^\$\$(.+?)\$\$$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<![\\$\w])\$(?![\s$])([^$\n]+?)(?<!\s)\$(?![\w$])")
TOKEN = re.compile(r"\\[A-Za-z]+|\\[,;!]|\d+(?:\.\d+)?|\S")
LETTERS = {
    "eta": "η", "lambda": "λ", "mu": "μ", "Sigma": "Σ", "theta": "θ", "xi": "ξ",
}  # fmt: skip
SIGNS = {
    "approx": "≈", "cdot": "·", "cdots": "⋯", "exp": "exp", "in": "∈", "le": "≤",
    "leftarrow": "←", "max": "max", "propto": "∝", "sum": "∑", "times": "×", "top": "⊤",
}  # fmt: skip
SPACES = {"\\,": "0.17em", "\\;": "0.28em", "\\quad": "1em", "\\qquad": "2em"}
OVER = {"∑", "max"}
"""Signs whose limits stand below and above them in a formula of its own."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the formulas of a page when the documentation is built."""
    return with_formulas(markdown)


def with_formulas(text: str) -> str:
    """A page in Markdown with its formulas as MathML; code stays as it is."""
    parts, place = [], 0
    for code in CODE.finditer(text):
        parts += [_replaced(text[place : code.start()]), code[0]]
        place = code.end()
    return "".join([*parts, _replaced(text[place:])])


def _replaced(text: str) -> str:
    text = BLOCK.sub(lambda found: mathml(found[1], alone=True), text)
    # Within an inline element, since Markdown takes <math> at the start of a line for a block.
    return INLINE.sub(lambda found: f"<span>{mathml(found[1])}</span>", text)


def mathml(formula: str, *, alone: bool = False) -> str:
    r"""A formula as MathML.

    Raises:
        ValueError: a command that is not known, or braces that do not match.

    >>> mathml(r"\frac{a}{2}")
    '<math><mfrac><mi>a</mi><mn>2</mn></mfrac></math>'
    """
    tokens = iter(TOKEN.findall(formula))
    content = _row(tokens, alone, until=None)
    display = ' display="block"' if alone else ""
    return f"<math{display}>{content}</math>"


def _row(tokens: Iterator[str], alone: bool, until: str | None) -> str:
    """The tokens up to an end, with their scripts."""
    atoms: list[str] = []
    for token in tokens:
        if token == until:
            return "".join(atoms)
        if token in ("_", "^"):
            if not atoms:
                raise ValueError(f"{token} has nothing to stand at")
            atoms.append(_script(atoms.pop(), token, _atom(tokens, alone), alone))
        else:
            atoms.append(_atom(tokens, alone, token))
    if until is not None:
        raise ValueError(f"{until} is absent")
    return "".join(atoms)


def _script(base: str, kind: str, script: str, alone: bool) -> str:
    """A base with an index or an exponent; the other one may be there already."""
    over = alone and any(f">{sign}</mo>" in base for sign in OVER)
    names = ("munder", "mover", "munderover") if over else ("msub", "msup", "msubsup")
    name = names[0] if kind == "_" else names[1]
    first = re.fullmatch(rf"<({names[0]}|{names[1]})>(.*)</\1>", base, re.DOTALL)
    if first and first[1] != name:
        # Both: the index stands before the exponent in MathML; here it is written first, too.
        return f"<{names[2]}>{first[2]}{script}</{names[2]}>"
    return f"<{name}>{base}{script}</{name}>"


def _atom(tokens: Iterator[str], alone: bool, token: str | None = None) -> str:
    token = next(tokens, None) if token is None else token
    if token is None:
        raise ValueError("the formula ends too early")
    if token == "{":
        return f"<mrow>{_row(tokens, alone, until='}')}</mrow>"
    if token == "}":
        raise ValueError("} has no beginning")
    if token in SPACES:
        return f'<mspace width="{SPACES[token]}"/>'
    if token.startswith("\\"):
        return _command(token[1:], tokens, alone)
    if token[0].isdigit():
        return f"<mn>{token}</mn>"
    if token.isalpha():
        return f"<mi>{token}</mi>"
    return f"<mo>{escape({'-': '−', '*': '∗'}.get(token, token))}</mo>"


def _command(name: str, tokens: Iterator[str], alone: bool) -> str:
    if name == "frac":
        return f"<mfrac>{_unwrapped(tokens, alone)}{_unwrapped(tokens, alone)}</mfrac>"
    if name == "sqrt":
        return f"<msqrt>{_atom(tokens, alone)}</msqrt>"
    if name == "text":
        return f"<mtext>{_words(tokens)}</mtext>"
    if name == "operatorname":
        return f'<mi>{_words(tokens)}</mi><mspace width="0.17em"/>'
    if name in ("left", "right"):  # Browsers stretch brackets by themselves.
        return _atom(tokens, alone)
    if name in LETTERS:
        return f"<mi>{LETTERS[name]}</mi>"
    if name in SIGNS:
        return f"<mo>{SIGNS[name]}</mo>"
    raise ValueError(f"\\{name} is not known: add it to {__file__}")


def _unwrapped(tokens: Iterator[str], alone: bool) -> str:
    """An atom; a row of a single element needs no element around it."""
    atom = _atom(tokens, alone)
    single = re.fullmatch(r"<mrow>(<(\w+)>[^<]*</\2>)</mrow>", atom)
    return single[1] if single else atom


def _words(tokens: Iterator[str]) -> str:
    if next(tokens, None) != "{":
        raise ValueError("words in braces are absent")
    words = []
    for token in tokens:
        if token == "}":
            return "".join(words)
        words.append("\N{NO-BREAK SPACE}" if token == "~" else token)
    raise ValueError("} is absent")
