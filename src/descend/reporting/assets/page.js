// Draws the figures of a page and follows its switches. The figures are JSON in the page; nothing
// is fetched.
"use strict";
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isTouch = matchMedia("(pointer: coarse), (max-width: 40rem)").matches;
  const drawn = [];

  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;

  function themed() {
    const axis = { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line"), tickcolor: colour("line") };
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("ink"), size: 13, family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("accent") },
      xaxis: axis,
      yaxis: axis,
    };
  }

  function merged(one, other) {
    const result = { ...one };
    for (const [key, value] of Object.entries(other)) {
      const inner = value && typeof value === "object" && !Array.isArray(value);
      result[key] = inner ? merged(result[key] || {}, value) : value;
    }
    return result;
  }

  // What Plotly's relayout takes: {"xaxis.gridcolor": ...} for {xaxis: {gridcolor: ...}}.
  function dotted(value, prefix = "") {
    return Object.entries(value).reduce((flat, [key, inner]) => {
      const path = prefix + key;
      return inner && typeof inner === "object"
        ? { ...flat, ...dotted(inner, path + ".") }
        : { ...flat, [path]: inner };
    }, {});
  }

  function laidOut(figure) {
    const base = {
      margin: { l: 62, r: 14, t: 34, b: 52 },
      hovermode: "x unified",
      dragmode: isTouch ? false : "zoom",
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom" },
      xaxis: { automargin: true, ticks: "outside", ticklen: 4, ...ticks(figure.layout.xaxis.type) },
      yaxis: { automargin: true, ticks: "outside", ticklen: 4, ...ticks(figure.layout.yaxis.type) },
    };
    return merged(merged(base, figure.layout), themed());
  }

  // 20k and not 2×10⁴; on a logarithmic axis 0.02 and not a small 2 below 10⁻¹.
  function ticks(type) {
    return type === "log"
      ? { dtick: "D2", minorloglabels: "complete", exponentformat: "SI", separatethousands: false }
      : { dtick: null, exponentformat: "SI", separatethousands: false };
  }

  const config = {
    responsive: true,
    displaylogo: false,
    showTips: false,
    displayModeBar: isTouch ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    toImageButtonOptions: { scale: 2 },
  };

  async function draw(place) {
    const name = place.dataset.plot;
    const figure = figures[name];
    const canvas = place.querySelector(".canvas");
    await Plotly.newPlot(canvas, figure.data, laidOut(figure), config);
    drawn.push(canvas);
    place.addEventListener("change", (event) => {
      const input = event.target;
      if (input.dataset.log) {
        const axis = input.dataset.log + "axis";
        const type = input.checked ? "log" : "linear";
        const changes = { [axis]: { type, autorange: true, ...ticks(type) } };
        Plotly.relayout(canvas, dotted(changes));
      } else if (input.type === "radio") {
        Plotly.update(
          canvas,
          { x: figure.x_choices[input.value] },
          { "xaxis.title.text": input.value, "xaxis.autorange": true },
        );
      }
    });
  }

  const repaint = () => drawn.forEach((canvas) => Plotly.relayout(canvas, dotted(themed())));

  const button = document.querySelector(".theme");
  const name = () => (button.textContent = isDark() ? "Light" : "Dark");
  button.hidden = false;
  name();
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
    repaint();
  });
  prefersDark.addEventListener("change", () => {
    name();
    repaint();
  });

  // Paper is light: the plots, whose colours are no style sheet's, are drawn again for it.
  let onScreen;
  addEventListener("beforeprint", () => {
    onScreen = root.dataset.theme;
    root.dataset.theme = "light";
    repaint();
  });
  addEventListener("afterprint", () => {
    if (onScreen) root.dataset.theme = onScreen;
    else delete root.dataset.theme;
    repaint();
  });

  Promise.all([...document.querySelectorAll("[data-plot]")].map(draw)).then(() => {
    root.dataset.drawn = "yes";
  });
})();
