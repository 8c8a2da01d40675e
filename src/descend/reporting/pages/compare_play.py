"""A page that plays the runs of a comparison: their paths over a plane, and their losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from descend.io.units import percent_text
from descend.reporting.pages.facts import facts_text
from descend.reporting.pages.landscape import FAR_OFF
from descend.reporting.plots.colours import COLOURS, DARK_COLOURS
from descend.reporting.plots.compare import thin_columns
from descend.reporting.render import page_to_play
from descend.reporting.text.records import subject

Record = Mapping[str, Any]

CURVE = {
    "losses": "validation_loss",
    "updates": "update",
    "examples": "examples",
    "seconds": "seconds",
}
"""What the script calls the columns of a history."""
AXES = (("seconds", "seconds"), ("updates", "updates"), ("examples", "rows read"))


def compare_play_page(record: Record) -> str:
    """The page as HTML, complete in itself.

    Args:
        record: what compare.json holds, with `plane`.
    """
    plane = record["plane"]
    title = f"The runs of the comparison: {subject(record)}"
    about = (
        "Each method at its own learning rate, from the same weights, as it was measured. On the "
        "left the weights, on the plane that holds most of the way of all runs "
        f"({percent_text(plane['explained'])} of its squared extent); on the right the validation "
        "loss. Play them against seconds, updates or rows read: the order of the methods changes."
    )
    axes = "".join(
        f"<label><input type=radio name=axis value={name}{' checked' if not place else ''}>"
        f"<span>{text}</span></label>"
        for place, (name, text) in enumerate(AXES)
    )
    paths = [{**path, **_curve(record, str(path["method"]))} for path in plane["paths"]]
    known = {**plane, "paths": paths, "far": FAR_OFF, "colours": COLOURS, "dark": DARK_COLOURS}
    source = (
        f"Made by descend {record.get('descend', '')} from compare.json, from the runs of the "
        f"first seed. {facts_text(record)}"
    )
    return page_to_play(title, about, _STAGE.format(axes=axes), source, "compare_play", known)


def _curve(record: Record, method: str) -> Record:
    """The loss at every evaluation of a run; at those with kept weights alone it would look smooth.

    Nothing where the record does not hold that run.
    """
    runs = [
        run
        for run in record["runs"]
        if run["panel"] == "tuned" and run["method"]["title"] == method
    ]
    if not runs:
        return {}
    history = thin_columns(min(runs, key=lambda run: int(run["seed"]))["history"])
    return {"curve": {to: history[name] for to, name in CURVE.items()}}


_STAGE = """<section class=runs>
<div class=switches><fieldset><legend>Against</legend>{axes}</fieldset></div>
<div class="buttons place"><button class=main type=button id=start>Play</button>
<button type=button id=reset>Reset</button>
<label for=place>Up to <output id=now for=place></output>
<input type=range id=place min=0 max=400 value=400 step=1></label></div>
<div class=small>
<figure><figcaption><h2>The weights</h2></figcaption>
<canvas id=plane role=img aria-label="Paths of the weights over the loss"></canvas>
<p class=caption><span id=lower>Darker</span> is lower. The loss is drawn for the plane; a path with
a hollow end is far off it, and its own loss is the one on the right.</p></figure>
<figure><figcaption><h2>The validation loss</h2></figcaption>
<canvas id=losses role=img aria-label="The validation loss of each method"></canvas>
<p class=caption>Both axes are logarithmic; the left edge stands for 0.</p></figure>
</div>
<div class=scroll tabindex=0 role=group aria-label="The methods"><table id=methods>
<thead><tr><th scope=col>method</th><th scope=col class=n>rows per update</th>
<th scope=col class=n>learning rate</th><th scope=col class=n>updates</th>
<th scope=col class=n>rows read</th><th scope=col class=n>seconds</th>
<th scope=col class=n>validation loss</th>
<th scope=col class=n>end off the plane, in widths of the picture</th></tr>
</thead><tbody></tbody></table></div>
</section>"""
