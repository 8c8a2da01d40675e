// Draws the figures of a page and follows its switches. The figures are JSON in the page; nothing
// is fetched, but for the page itself where it is served while a run trains.
"use strict";
(() => {
  const root = document.documentElement;
  const narrow = matchMedia("(max-width: 40rem)");
  const isTouch = matchMedia("(pointer: coarse)").matches || narrow.matches;
  const PAPER = { width: 680, half: 322, height: 300, low: 250, tall: 460 };
  let figures = JSON.parse(document.getElementById("figures").textContent);
  // On a dark page every line takes the lighter of its two colours.
  const darker = JSON.parse(document.getElementById("figures").dataset.dark || "{}");
  let onPaper = false;

  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const { isDark } = theme;

  function merged(one, other) {
    const result = { ...one };
    for (const [key, value] of Object.entries(other)) {
      const inner = value && typeof value === "object" && !Array.isArray(value);
      result[key] = inner ? merged(result[key] || {}, value) : value;
    }
    return result;
  }

  function themed() {
    const line = colour("line");
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, tickcolor: line };
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("ink"), size: 13, family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { bgcolor: colour("card"), bordercolor: line, font: { color: colour("ink") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("accent") },
      xaxis: axis,
      yaxis: axis,
    };
  }

  // 20k and not 2×10⁴; on a logarithmic axis 0.02 and not a small 2 below 10⁻¹.
  function axisOf(layout, type, values) {
    const known = values.flat().filter((value) => value > 0);
    const decades = Math.log10(Math.max(...known) / Math.min(...known));
    const ticks = { exponentformat: "SI", separatethousands: false };
    if (type === "log") {
      ticks.minorloglabels = "complete";
      if (decades < (narrow.matches ? 1.5 : 3)) ticks.dtick = "D2";
    }
    return { automargin: true, ticks: "outside", ticklen: 4, ...ticks, ...layout, type };
  }

  // A trace with the colours of the page.
  function coloured(trace) {
    // No share is a colour that the numbers in the cells could not be read on.
    if (trace.meta === "shares") {
      const colorscale = [[0, colour("card")], [1, colour("most")]];
      return { ...trace, colorscale, textfont: { color: colour("ink") } };
    }
    if (!isDark() || onPaper) return trace;
    const swap = (value) =>
      typeof value === "string" ? darker[value.toUpperCase()] || value : value;
    const result = { ...trace };
    for (const part of ["line", "marker"]) {
      if (trace[part]) result[part] = { ...trace[part], color: swap(trace[part].color) };
    }
    return result;
  }

  // Rows that the legend takes above the plot: it may not eat what it explains.
  function legendRows(data, width) {
    const named = data.filter((trace) => trace.name && trace.showlegend !== false);
    if (named.length < 2) return 0;
    const longest = Math.max(...named.map((trace) => 48 + 6.8 * trace.name.length));
    const columns = Math.max(1, Math.floor((width - 76) / longest));
    return Math.ceil(named.length / columns);
  }

  // The figure of a place as its switches have it.
  function chosen(place, canvas) {
    const figure = figures[place.dataset.plot];
    const choice = place.querySelector("input[type=radio]:checked");
    const types = {};
    for (const axis of ["x", "y"]) {
      const box = place.querySelector(`input[data-log="${axis}"]`);
      const type = figure.layout[axis + "axis"].type || "linear";
      types[axis] = box ? (box.checked ? "log" : "linear") : type;
    }
    const data = figure.data.map((trace, number) =>
      coloured(choice ? { ...trace, x: figure.x_choices[choice.value][number] } : { ...trace }),
    );
    const isTall = canvas.classList.contains("tall");
    const isHalf = place.classList.contains("half");
    const width = !onPaper ? canvas.clientWidth : isHalf ? PAPER.half : PAPER.width;
    const rows = legendRows(data, width);
    canvas.style.setProperty("--legend", `${19 * Math.max(0, rows - 1)}px`);
    const layout = merged(
      merged(
        {
          autosize: true,
          margin: { l: 62, r: 14, t: 15 + 19 * rows, b: 52 },
          hovermode: "x unified",
          dragmode: isTouch ? false : "zoom",
          legend: { orientation: "h", x: 0, xanchor: "left", y: 1.01, yanchor: "bottom" },
          uirevision: "same",
        },
        figure.layout,
      ),
      themed(),
    );
    for (const axis of ["x", "y"]) {
      const name = axis + "axis";
      layout[name] = axisOf(layout[name], types[axis], data.map((trace) => trace[axis] || []));
      layout[name].uirevision = `${types[axis]} ${choice && axis === "x" ? choice.value : ""}`;
    }
    if (choice) layout.xaxis.title.text = choice.value;
    if (onPaper) {
      const height = isTall ? PAPER.tall : isHalf ? PAPER.low : PAPER.height;
      const legend = 19 * Math.max(0, rows - 1);
      Object.assign(layout, { autosize: false, width, height: height + legend });
    }
    return { data, layout };
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
    const canvas = place.querySelector(".canvas");
    const { data, layout } = chosen(place, canvas);
    await Plotly.react(canvas, data, layout, config);
    const long = ["x", "y"].filter((axis) => isCutOff(canvas, axis));
    if (!long.length) return;
    for (const axis of long) layout[axis + "axis"].title = inTwoLines(layout[axis + "axis"].title);
    await Plotly.react(canvas, data, layout, config);
  }

  // Whether the title of an axis reaches beyond the drawing: it is centred beside the plot alone.
  function isCutOff(canvas, axis) {
    const title = canvas.querySelector(`.${axis}title`);
    if (!title) return false;
    const [inner, outer] = [title, canvas].map((one) => one.getBoundingClientRect());
    return axis === "x"
      ? inner.left < outer.left || inner.right > outer.right
      : inner.top < outer.top || inner.bottom > outer.bottom;
  }

  // Broken at the space next to the middle.
  function inTwoLines(title) {
    const { text } = title;
    const spaces = [...text.matchAll(/ /g)].map((found) => found.index);
    const far = (place) => Math.abs(place - text.length / 2);
    const place = spaces.sort((one, other) => far(one) - far(other))[0];
    if (place === undefined) return title;
    return { ...title, text: `${text.slice(0, place)}<br>${text.slice(place + 1)}` };
  }

  const drawAll = () => {
    for (const mark of document.querySelectorAll("[data-colour]")) {
      const own = mark.dataset.colour;
      mark.style.background = isDark() && !onPaper ? darker[own.toUpperCase()] || own : own;
    }
    return Promise.all([...document.querySelectorAll("[data-plot]")].map(draw));
  };

  document.addEventListener("change", (event) => {
    const place = event.target.closest("[data-plot]");
    if (place) draw(place);
  });

  // A click on a header sorts the rows: once upwards, once downwards. Numbers by value.
  function sortable() {
    const value = (cell) => {
      const number = Number(cell.dataset.value ?? "");
      return cell.dataset.value && !Number.isNaN(number) ? number : cell.textContent;
    };
    for (const table of document.querySelectorAll("table.sortable")) {
      [...table.tHead.rows[0].cells].forEach((head, column) => {
        if (head.querySelector("button")) return;
        const press = document.createElement("button");
        press.type = "button";
        press.append(...head.childNodes);
        head.append(press);
        press.addEventListener("click", () => {
          const up = head.getAttribute("aria-sort") !== "ascending";
          for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
          head.setAttribute("aria-sort", up ? "ascending" : "descending");
          const rows = [...table.tBodies[0].rows].map((row) => [value(row.cells[column]), row]);
          rows.sort(([a], [b]) => {
            const both = typeof a === "number" && typeof b === "number";
            if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
            return (up ? 1 : -1) * (both ? a - b : String(a).localeCompare(String(b)));
          });
          table.tBodies[0].append(...rows.map(([, row]) => row));
        });
      });
    }
  }
  sortable();

  theme.connect(drawAll);
  narrow.addEventListener("change", drawAll);

  // Paper is light and has a width of its own: the plots, which no style sheet reaches, are drawn
  // again for it.
  let onScreen;
  addEventListener("beforeprint", () => {
    onScreen = root.dataset.theme;
    root.dataset.theme = "light";
    onPaper = true;
    drawAll();
  });
  addEventListener("afterprint", () => {
    if (onScreen) root.dataset.theme = onScreen;
    else delete root.dataset.theme;
    onPaper = false;
    drawAll();
  });

  // The page of a run that still trains asks for itself again and takes over what is new. Plots
  // stay where they are, with their zoom and their switches.
  function takeOver(next) {
    const [top, left] = [scrollY, scrollX];
    const focused = document.activeElement?.closest("[data-plot] input");
    figures = JSON.parse(next.getElementById("figures").textContent);
    const main = document.adoptNode(next.querySelector("main"));
    const before = document.querySelector("main");
    for (const place of main.querySelectorAll("[data-plot]")) {
      const old = before.querySelector(`[data-plot="${CSS.escape(place.dataset.plot)}"]`);
      if (!old) continue;
      const canvas = place.querySelector(".canvas");
      canvas.replaceWith(old.querySelector(".canvas"));
      for (const input of place.querySelectorAll("input")) {
        const key = input.dataset.log
          ? `[data-log="${input.dataset.log}"]`
          : `[value="${CSS.escape(input.value)}"]`;
        const same = old.querySelector("input" + key);
        if (!same) continue;
        if (same === focused) input.dataset.focused = "yes";
        input.checked = same.checked;
      }
    }
    for (const fold of before.querySelectorAll("details[open]")) {
      const section = main.querySelector("#" + CSS.escape(fold.closest("section").id));
      const plot = fold.closest("[data-plot]");
      const home = plot
        ? main.querySelector(`[data-plot="${CSS.escape(plot.dataset.plot)}"]`)
        : section;
      const same = home?.querySelector("details");
      if (same) same.open = true;
    }
    before.replaceWith(main);
    for (const place of ["nav", "footer"]) {
      document.querySelector(place).replaceWith(document.adoptNode(next.querySelector(place)));
    }
    const header = document.querySelector("header");
    const told = [...next.querySelector("header").children].filter((one) => !one.matches(".top"));
    header.replaceChildren(header.querySelector(".top"), ...told);
    scrollTo({ top, left, behavior: "instant" });
    const again = document.querySelector("[data-focused]");
    again?.removeAttribute("data-focused");
    again?.focus({ preventScroll: true });
    return drawAll();
  }

  function tell(text) {
    const told = document.createElement("p");
    told.className = "live";
    told.setAttribute("role", "status");
    told.textContent = text;
    document.querySelector(".top").after(told);
  }

  async function follow() {
    while (root.dataset.live) {
      await new Promise((done) => setTimeout(done, 1000 * Number(root.dataset.live)));
      if (document.hidden) continue;
      try {
        const answer = await fetch(location.pathname, { cache: "no-store" });
        if (!answer.ok) throw new Error(answer.statusText);
        const next = new DOMParser().parseFromString(await answer.text(), "text/html");
        const ended = !next.documentElement.dataset.live;
        if (ended) delete root.dataset.live;
        await takeOver(next);
        if (ended) tell("Training has ended. This page is final; its server stops in a few seconds.");
      } catch {
        delete root.dataset.live;
        const told = document.querySelector(".live");
        if (told) told.textContent = "Training has ended or was stopped; this page no longer changes.";
      }
    }
  }

  drawAll().then(() => {
    root.dataset.drawn = "yes";
    performance.mark("drawn");
    if (root.dataset.live) follow();
  });
})();
