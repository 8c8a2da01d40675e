"""A page with loss surfaces that a reader can play with; everything is computed in the browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from descend.reporting.escaping import escape_html
from descend.reporting.plots.colours import COLOURS, DARK_COLOURS
from descend.reporting.render import page_to_play

TITLE = "Methods on a loss surface, to play with"
ABOUT = (
    "Each surface is a loss: its height is the mean over the rows of a small table, so a batch "
    "of rows sees a slightly different surface. Press Play, move the sliders, click on the map to "
    "choose another start."
)
SPEEDS = ((2, "slow"), (10, "medium"), (60, "fast"))


def play_page(data: Mapping[str, Any]) -> str:
    """The page as HTML, complete in itself.

    Args:
        data: `rows` (how many each surface has), `epochs`, `seeds` and `orders` (base64 of a byte
            for each place of each epoch of each seed: the engine's own order of rows), `crowd`
            (runs that are drawn at once), `first`, and `surfaces`: name, kind, title, rows
            `[N, 2]`, start, window, minimum, hessian, the rate and batch to begin with, the
            methods shown at first, and whether many runs are drawn.
    """
    known = {**data, "colours": COLOURS, "dark": DARK_COLOURS}
    names = [escape_html(one["name"]) for one in data["surfaces"]]
    options = "".join(f'<option value="{name}">{name.replace("-", " ")}</option>' for name in names)
    speeds = "".join(
        f'<option value="{speed}"{" selected" if speed == 10 else ""}>{name}</option>'
        for speed, name in SPEEDS
    )
    stage = _STAGE.format(surfaces=options, speeds=speeds, seeds=data["seeds"], crowd=data["crowd"])
    source = (
        "Made by descend landscape --play. For the same rows and seed, the paths are those of the "
        "Python engine."
    )
    return page_to_play(TITLE, ABOUT, stage, source, "play", known)


def _slider(name: str, text: str) -> str:
    return (
        f'<label for="{name}">{text} <output id="{name}-value" for="{name}"></output>'
        f'<input type=range id="{name}" min=0 max=10 step=1></label>'
    )


_STAGE = f"""<section class=play>
<div class=stage><canvas id=map role=img aria-label="The surface with the paths of the methods.
The table below has their numbers."></canvas>
<div class=scroll tabindex=0 role=region aria-label="The methods"><table class=methods id=methods>
<thead><tr><th scope=col>method</th><th scope=col class=n>updates</th>
<th scope=col class=n>rows read</th><th scope=col class=n>loss above the lowest</th></tr></thead>
<tbody></tbody></table></div></div>
<div class=panel>
<label for=surface>Surface</label><select id=surface>{{surfaces}}</select>
<p class=caption id=about></p>
<div class=buttons><button class=main type=button id=start>Play</button>
<button type=button id=step>Step</button><button type=button id=reset>Reset</button></div>
{_slider("batch", "Batch size")}
{_slider("rate", "Learning rate")}
{_slider("momentum", "Momentum")}
{_slider("seed", "Seed")}
<div><label for=noise>Noise: learning rate / batch <output id=noise></output></label>
<div class=dial aria-hidden=true><i id=needle></i></div></div>
<label for=pace>In one step each method</label>
<select id=pace><option value=updates>makes one update</option>
<option value=rows>reads equally many rows</option></select>
<label for=speed>Speed</label><select id=speed>{{speeds}}</select>
<label><span><input type=checkbox id=crowd> Show {{crowd:,}} runs at once</span></label>
</div>
</section>
<div class=small>
<figure><figcaption><h2>Loss above the lowest point</h2></figcaption>
<canvas id=losses role=img aria-label="The loss along the paths"></canvas></figure>
<figure><figcaption><h2>The true gradient and 200 mini-batch gradients</h2></figcaption>
<canvas id=cloud role=img aria-label="Gradients of mini-batches around the true one"></canvas>
<p class=caption>At the point of the mini-batch method. A mini-batch gradient is off by
<b id=off></b> the length of the true gradient (the arrow). Four times the batch: half as far.</p>
</figure>
<figure id=runs><figcaption><h2 id=runs-title></h2></figcaption>
<canvas id=bars role=img aria-label="Shares of the runs"></canvas>
<p class=caption>Many runs from the same start, each with its own rows. Gradient descent on all
rows has no noise: its runs are all the same.</p></figure>
</div>"""
