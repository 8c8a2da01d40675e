"""Plots as pictures, drawn by matplotlib from the same figures that the page shows."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from descend.errors import InputError
from descend.io.ownership import PICTURE_MARK
from descend.reporting.page_model import Figure, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.contour import ContourSet
    from matplotlib.image import AxesImage

INCHES = (8.0, 4.5)
DOTS_PER_INCH = 160

STROKES: Mapping[str, Any] = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (10, 3)),
    "longdashdot": (0, (10, 3, 2, 3)),
}
STEPS: Mapping[str, Any] = {"hv": "steps-post", "vh": "steps-pre"}
MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "cross": "P",
    "x": "X",
    "star": "*",
    "circle-open": "$\u25cb$",
    "triangle-up-open": "$\u25b3$",
}


def picture(plot: Plot) -> bytes:
    """A plot as a PNG file.

    Raises:
        InputError: matplotlib is not installed, or a trace is of a kind that is not drawn.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        raise InputError(
            "Pictures are drawn by matplotlib, which is not installed. Type: pip install matplotlib"
        ) from None
    canvas = Canvas(figsize=INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.add_subplot()
    for trace in plot.figure["data"]:
        if trace.get("visible") == "legendonly":  # The page does not show it at first either.
            continue
        drawn = _draw(axes, trace)
        if drawn is not None:
            scale = trace.get("colorbar") or trace.get("marker", {}).get("colorbar", {})
            title = scale.get("title", {}).get("text", "")
            shown = canvas.colorbar(drawn, ax=axes)
            shown.set_label(_text(title), parse_math=False)
            if scale.get("ticktext"):
                shown.set_ticks(scale["tickvals"], labels=[_text(one) for one in scale["ticktext"]])
    _frame(axes, plot.figure, plot.title)
    sink = io.BytesIO()
    # Without a date and a version the same plot gives the same bytes.
    canvas.savefig(sink, format="png", metadata={"Software": PICTURE_MARK})
    return sink.getvalue()


def _draw(axes: Axes, trace: Mapping[str, Any]) -> AxesImage | ContourSet | Any | None:
    """Draw a trace; what is returned needs a colour bar."""
    match trace["type"]:
        case "scatter" if trace.get("fill") == "toself":
            _draw_area(axes, trace)
            return None
        case "scatter" | "scattergl":
            if isinstance(trace.get("marker", {}).get("color"), list):
                return _draw_coloured_points(axes, trace)
            _draw_line(axes, trace)
            return None
        case "bar" if trace.get("orientation") == "h":
            axes.barh(
                trace["y"],
                _numbers(trace["x"]),
                label=_text(trace.get("name", "")),
                color=trace.get("marker", {}).get("color"),
                height=_bar_width(trace["y"]),
            )
            return None
        case "bar":
            axes.bar(
                [_text(x) if isinstance(x, str) else x for x in trace["x"]],
                _numbers(trace["y"]),
                label=_text(trace.get("name", "")),
                color=trace.get("marker", {}).get("color"),
                width=_bar_width(trace["x"]),
            )
            return None
        case "heatmap" | "contour":
            return _draw_surface(axes, trace)
        case kind:
            raise InputError(f"A plot of kind {kind!r} cannot be drawn as a picture.")


def _bar_width(x: Sequence[Any]) -> float:
    places = [one for one in x if not isinstance(one, str)]
    return 0.9 * (places[1] - places[0]) if len(places) > 1 else 0.8


def _draw_line(axes: Axes, trace: Mapping[str, Any]) -> None:
    mode = trace.get("mode", "lines")
    stroke, marker = trace.get("line", {}), trace.get("marker", {})
    colour = stroke.get("color") or marker.get("color")
    x, y = _numbers(trace["x"]), _numbers(trace["y"])
    for name in ("x", "y"):
        bars = trace.get(f"error_{name}")
        if bars:
            above = _numbers(bars["array"])
            below = _numbers(bars.get("arrayminus", bars["array"]))
            lengths: Any = {f"{name}err": [below, above]}
            axes.errorbar(x, y, **lengths, fmt="none", ecolor=colour, capsize=3)
    axes.plot(
        x,
        y,
        label=_text(trace.get("name", "")),
        color=colour if isinstance(colour, str) else None,
        alpha=trace.get("opacity"),
        linewidth=0.8 * stroke.get("width", 2),
        linestyle=STROKES.get(stroke.get("dash", "solid"), "-") if "lines" in mode else "none",
        marker=MARKERS.get(marker.get("symbol", "circle"), "o") if "markers" in mode else "",
        markersize=_size(marker.get("size", 6)),
        drawstyle=STEPS.get(stroke.get("shape", ""), "default"),
    )


def _draw_coloured_points(axes: Axes, trace: Mapping[str, Any]) -> Any:
    """Points whose colour is a value."""
    marker = trace["marker"]
    return axes.scatter(
        _numbers(trace["x"]),
        _numbers(trace["y"]),
        c=_numbers(marker["color"]),
        cmap=_scale(marker),
        s=_size(marker.get("size", 6)) ** 2,
        edgecolors=marker.get("line", {}).get("color", "none"),
        linewidths=0.6,
    )


def _draw_area(axes: Axes, trace: Mapping[str, Any]) -> None:
    red, green, blue, opacity = _rgba(trace["fillcolor"])
    corners = [
        (x, y)
        for x, y in zip(_numbers(trace["x"]), _numbers(trace["y"]), strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]
    axes.fill(
        [x for x, _ in corners],
        [y for _, y in corners],
        color=(red / 255, green / 255, blue / 255),
        alpha=opacity,
        linewidth=0,
        label=_text(trace.get("name", "")),
    )


def _draw_surface(axes: Axes, trace: Mapping[str, Any]) -> Any:
    z = [_numbers(row) for row in trace["z"]]
    scale = _scale(trace)
    x, y = _numbers(trace["x"]), _numbers(trace["y"])
    if trace["type"] == "heatmap":
        low, high = trace.get("zmin"), trace.get("zmax")
        return axes.pcolormesh(x, y, z, cmap=scale, shading="nearest", vmin=low, vmax=high)
    levels = trace.get("ncontours", 16)
    filled = axes.contourf(x, y, z, levels=levels, cmap=scale, alpha=trace.get("opacity"))
    axes.contour(x, y, z, levels=levels, colors="black", linewidths=0.3, alpha=0.5)
    return filled if trace.get("showscale", True) else None


def _scale(trace: Mapping[str, Any]) -> Any:
    """The colour scale: one of matplotlib's by name, or one made from given colours."""
    from matplotlib.colors import LinearSegmentedColormap

    scale = trace.get("colorscale", "Cividis")
    if isinstance(scale, str):
        return scale.lower() + ("_r" if trace.get("reversescale") else "")
    return LinearSegmentedColormap.from_list("own", [(place, colour) for place, colour in scale])


def _frame(axes: Axes, figure: Figure, title: str) -> None:
    layout = figure["layout"]
    axes.set_title(title, loc="left", parse_math=False)
    _set_axis(axes, "x", layout.get("xaxis", {}))
    _set_axis(axes, "y", layout.get("yaxis", {}))
    axes.grid(visible=True, linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if layout.get("showlegend", True) and axes.get_legend_handles_labels()[0]:
        for text in axes.legend(frameon=False, fontsize="small").get_texts():
            text.set_parse_math(False)


def _set_axis(axes: Axes, name: Literal["x", "y"], axis: Mapping[str, Any]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    drawn = axes.xaxis if name == "x" else axes.yaxis
    is_log = axis.get("type") == "log"
    drawn.label.set_text(_text(axis.get("title", {}).get("text", "")))
    drawn.label.set_parse_math(False)
    if is_log:
        axes.set(**{f"{name}scale": "log"})
        drawn.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        drawn.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        drawn.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    if axis.get("range"):
        # Plotly gives the ends of a logarithmic axis in powers of ten.
        ends = [10**end if is_log else end for end in axis["range"]]
        axes.set(**{f"{name}lim": ends})
    if axis.get("scaleanchor"):
        axes.set_aspect("equal")
    if axis.get("autorange") == "reversed":
        drawn.set_inverted(True)
    if axis.get("ticktext"):
        drawn.set_ticks(axis["tickvals"], [_text(text) for text in axis["ticktext"]])
        if axis.get("tickangle"):
            axes.tick_params(axis=name, rotation=-axis["tickangle"])


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _text(text: object) -> str:
    """The text that `plots.label` escaped. A name that begins with `_` would not be shown."""
    plain = html.unescape(str(text))
    return f"\u200b{plain}" if plain.startswith("_") else plain


def _size(size: Any) -> float:
    return 0.7 * size if isinstance(size, int | float) else 4.0


def _rgba(colour: str) -> tuple[float, float, float, float]:
    red, green, blue, opacity = colour.removeprefix("rgba(").removesuffix(")").split(",")
    return float(red), float(green), float(blue), float(opacity)
