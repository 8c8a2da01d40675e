"""The lessons run as they stand, and what they claim in words their code shows in numbers."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
STEPS = 8


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "lessons" / "index.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def cells(page: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _hook().notebook_of(page)["cells"]
    return found


def _hook(name: str = "notebook") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/hooks/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _text(cells: list[dict[str, Any]], kind: str) -> str:
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == kind)


def test_the_notebook_has_every_step_question_answer_and_line_of_code(
    page: str, cells: list[dict[str, Any]]
) -> None:
    prose, code = _text(cells, "markdown"), _text(cells, "code")
    steps = re.split(r"^## \d+\. ", page, flags=re.MULTILINE)[1:]
    assert len(steps) == STEPS
    for step in steps:
        assert step.count("**Question.**") == step.count('??? success "Answer"') == 2
        assert "```python" in step
    assert prose.count("<details>") == prose.count("</details>") == 2 * STEPS
    assert "???" not in prose
    assert "../" not in prose
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        assert block.strip("\n") in code
    assert len({cell["id"] for cell in cells}) == len(cells)


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_says(
    cells: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    known: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        for cell in cells:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), cell["id"], "exec"), known)
    assert "true gradient" in said.getvalue()
    # 1: right on average, wrong each time.
    spread = known["estimates"].std(axis=0)
    assert np.all(np.abs(known["estimates"].mean(axis=0) - known["G"]) < 5 * spread / np.sqrt(5000))
    assert np.all(spread > 0.1)
    # 2: the variance is Σ/B, but for drawing without repeats.
    scaled = [one * size * 511 / (512 - size) for size, one in known["variances"].items()]
    assert max(scaled) < 1.2 * min(scaled)
    # 2, on a table: four times the rows, half the error.
    errors = [known["errors"][size] for size in (1, 4, 16, 64, 256)]
    assert np.all(np.abs(np.divide(errors[:-1], errors[1:]) - 2.0) < 0.15)
    # 3: one child is first after an epoch, the school last; in the end it is the other way round.
    above = {name: np.asarray(one) - known["lowest"] for name, one in known["paths"].items()}
    one, ten, school = above["one child"], above["ten (16)"], above["the school"]
    assert one[0] < school[0]
    assert school[-1] < one[-1]
    assert ten[0] < school[0]
    # 3: better directions save updates, up to a point, and the rows beyond are read for nothing.
    fewest = known["fewest"]
    assert fewest[1] > 2.5 * fewest[16]
    assert fewest[16] < 1.6 * fewest[512]
    assert 512 * fewest[512] > 10 * 16 * fewest[16]
    # 4: the cloud depends on η/B.
    clouds = known["clouds"]
    assert clouds[8, 0.04] == pytest.approx(clouds[16, 0.08], rel=0.3)
    assert clouds[8, 0.08] > 1.5 * clouds[8, 0.04]
    assert clouds[32, 0.04] < 0.6 * clouds[8, 0.04]
    # 5: B/η decides; four times the batch is far more than four times the wait.
    escapes = known["escapes"]
    assert escapes[8, 0.1] == pytest.approx(escapes[4, 0.05], abs=0.1)
    assert escapes[4, 0.1] > 0.85
    assert escapes[16, 0.1] < 0.3
    # 6: conjugate gradient is there after two steps.
    assert known["turn"] == pytest.approx(0, abs=1e-9)
    assert np.linalg.norm(known["conjugate"][2]) < 1e-9
    assert np.linalg.norm(known["steepest"][2]) > 1.0
    # 6: momentum saves updates, and too much of it costs some.
    needed = known["needed"]
    assert needed[0.25] < 0.75 * needed[0.0] < needed[0.9]
    # 7, 8
    assert known["scores"][64] > known["scores"][4096]
    assert known["advice"].batch_size >= 1


def test_every_formula_of_the_documentation_becomes_mathml() -> None:
    """Whole elements, and no dollar is left; code and shell variables stay as they are."""
    formulas = _hook("formulas")
    found = 0
    for path in sorted((ROOT / "docs").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        shown = formulas.with_formulas(text)
        elements = re.findall("<math.*?</math>", shown, re.DOTALL)
        for one in elements:
            ElementTree.fromstring(one)
        assert "$$" not in re.sub("```.*?```", "", shown, flags=re.DOTALL)
        found += len(elements)
    assert found > 20


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"\frac{a}{b+1}", "<mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac>"),
        ("x_i^2", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>"),
        ("a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        (r"\text{a~b}", "<mtext>a\N{NO-BREAK SPACE}b</mtext>"),
    ],
)
def test_a_formula_is_what_it_says(formula: str, expected: str) -> None:
    assert _hook("formulas").mathml(formula) == f"<math>{expected}</math>"


@pytest.mark.parametrize("formula", [r"\unknown", "{a", "a}", "_1", r"\frac{a}"])
def test_what_is_not_known_ends_the_build(formula: str) -> None:
    with pytest.raises(ValueError, match=r"known|absent|beginning|nothing|early"):
        _hook("formulas").mathml(formula)


def test_code_keeps_its_dollars() -> None:
    text = "Type `echo $A $B`.\n\n    cost $5 and $6\n\n```\n$$x$$\n```\nIt costs $5, or $6."
    assert _hook("formulas").with_formulas(text) == text
