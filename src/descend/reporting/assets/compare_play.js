// Plays the runs of a comparison: their weights over a plane, their losses beside it. Everything
// shown was measured; between two evaluations a straight line is drawn.
"use strict";
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("compare_play").textContent);
  const element = (id) => document.getElementById(id);
  const { isDark } = theme;
  const ink = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const colour = (place) => (isDark() ? data.dark : data.colours)[place % data.colours.length];
  const DASHES = [[], [7, 4]];
  const dash = (place) => DASHES[place % DASHES.length];
  const STEPS = 400;
  const SECONDS = 12;
  const shown = data.paths.map(() => true);
  // Records of older versions measure it in another way.
  const away = (path) => path.away ?? path.off;
  // The losses of all evaluations; records of older versions have those along the path alone.
  const curve = (path) => path.curve ?? path;
  let axis = "seconds";
  let step = STEPS;
  let playing = false;

  // The value of the axis at a step: even in its logarithm, since most happens early.
  function reached() {
    const values = data.paths.flatMap((path) => curve(path)[axis]).filter((value) => value > 0);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return step === 0 ? 0 : low * (high / low) ** (step / STEPS);
  }

  // A run up to a value of the axis: whole evaluations, and the place between two of them.
  function upTo(path, value) {
    const along = path[axis];
    let last = 0;
    while (last + 1 < along.length && along[last + 1] <= value) last++;
    const next = Math.min(last + 1, along.length - 1);
    const part = next > last ? (value - along[last]) / (along[next] - along[last]) : 0;
    return { last, next, part: Math.min(1, Math.max(0, part)) };
  }

  const between = (values, { last, next, part }) =>
    values[last] === null || values[next] === null
      ? values[last]
      : values[last] + part * (values[next] - values[last]);

  function fitted(canvas, ratio) {
    const width = canvas.clientWidth;
    const height = Math.round(width * ratio);
    const scale = devicePixelRatio || 1;
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    canvas.style.height = height + "px";
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    return [pen, width, height];
  }

  function drawPlane(value) {
    const [pen, width, height] = fitted(element("plane"), 0.8);
    const { x, y, loss } = data.grid;
    const known = loss.flat().filter((one) => one !== null);
    const low = Math.min(...known);
    const level = (one) => Math.log10(one - low + 1e-3 * (Math.max(...known) - low));
    const levels = known.map(level);
    const [bottom, top] = [Math.min(...levels), Math.max(...levels)];
    const [cell, tall] = [width / x.length, height / y.length];
    element("lower").textContent = isDark() ? "Lighter" : "Darker";
    const [dark, light] = isDark() ? [[86, 104, 124], [24, 29, 36]] : [[168, 190, 214], [250, 251, 253]];
    // A point of the grid is a pixel of a small picture, which is drawn large and smooth.
    const image = document.createElement("canvas");
    [image.width, image.height] = [x.length, y.length];
    const brush = image.getContext("2d");
    loss.forEach((row, line) =>
      row.forEach((one, column) => {
        const part = one === null ? 1 : (level(one) - bottom) / (top - bottom || 1);
        brush.fillStyle = `rgb(${dark.map((from, at) => Math.round(from + part * (light[at] - from)))})`;
        brush.fillRect(column, y.length - 1 - line, 1, 1);
      }),
    );
    pen.drawImage(image, 0, 0, width, height);
    // The centre of a cell is its point of the grid.
    const across = (at) => (((at - x[0]) / (x[x.length - 1] - x[0])) * (x.length - 1) + 0.5) * cell;
    const up = (at) => height - (((at - y[0]) / (y[y.length - 1] - y[0])) * (y.length - 1) + 0.5) * tall;
    data.paths.forEach((path, place) => {
      if (!shown[place]) return;
      const where = upTo(path, value);
      const points = [...path.points.slice(0, where.last + 1)];
      points.push([0, 1].map((k) => between(path.points.map((point) => point[k]), where)));
      pen.strokeStyle = pen.fillStyle = colour(place);
      pen.lineWidth = 2;
      pen.setLineDash(dash(place));
      pen.beginPath();
      points.forEach(([p, q], at) => (at ? pen.lineTo : pen.moveTo).call(pen, across(p), up(q)));
      pen.stroke();
      pen.setLineDash([]);
      const [p, q] = points[points.length - 1];
      pen.beginPath();
      pen.arc(across(p), up(q), 5, 0, 7);
      if (away(path) > data.far) {
        pen.fillStyle = ink("page");
        pen.fill();
        pen.stroke();
      } else pen.fill();
    });
    const [p, q] = data.paths[0].points[0];
    pen.strokeStyle = ink("ink");
    pen.strokeRect(across(p) - 5, up(q) - 5, 10, 10);
  }

  function drawLosses(value) {
    const [pen, width, height] = fitted(element("losses"), 0.8);
    const all = data.paths.flatMap((path) => curve(path).losses).filter((one) => one > 0);
    const along = data.paths.flatMap((path) => curve(path)[axis]).filter((one) => one > 0);
    const [left, right, above, below] = [46, 12, 10, 34];
    const scale = (values, from, to) => {
      const [low, high] = [Math.min(...values), Math.max(...values)].map(Math.log10);
      const reach = high - low || 1;
      return (one) => from + ((Math.log10(Math.max(one, 10 ** low)) - low) / reach) * (to - from);
    };
    // A logarithmic axis has no 0: its left edge, where all runs begin, stands for it.
    const across = scale([...along, Math.min(...along) / 1.6], left, width - right);
    const up = scale(all, height - below, above);
    pen.font = "11px " + getComputedStyle(document.body).fontFamily;
    pen.strokeStyle = ink("line");
    pen.fillStyle = ink("soft");
    const ticks = (values) => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const found = [];
      const steps = high / low > 300 ? [1] : [1, 2, 5];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
        found.push(...steps.map((one) => one * 10 ** power).filter((one) => one >= low && one <= high));
      }
      return found;
    };
    const text = (one) =>
      one >= 1e6 ? `${one / 1e6}M` : one >= 1000 ? `${one / 1000}k` : String(Number(one.toPrecision(3)));
    pen.fillText("0", left - 3, height - below + 15);
    for (const one of ticks(along)) {
      pen.fillText(text(one), across(one) - 8, height - below + 15);
      pen.beginPath();
      pen.moveTo(across(one), above);
      pen.lineTo(across(one), height - below);
      pen.stroke();
    }
    for (const one of ticks(all)) {
      pen.fillText(text(one), 4, up(one) + 4);
      pen.beginPath();
      pen.moveTo(left, up(one));
      pen.lineTo(width - right, up(one));
      pen.stroke();
    }
    pen.fillText(axis === "examples" ? "rows read" : axis, width - right - 62, height - 4);
    data.paths.forEach((path, place) => {
      if (!shown[place]) return;
      const { losses, [axis]: places } = curve(path);
      const where = upTo(curve(path), value);
      pen.strokeStyle = pen.fillStyle = colour(place);
      pen.lineWidth = 2;
      pen.setLineDash(dash(place));
      pen.beginPath();
      let begun = false;
      const go = (at, loss) => {
        if (!(loss > 0)) return;
        (begun ? pen.lineTo : pen.moveTo).call(pen, across(at), up(loss));
        begun = true;
      };
      for (let at = 0; at <= where.last; at++) go(places[at], losses[at]);
      const [head, loss] = [between(places, where), between(losses, where)];
      go(head, loss);
      pen.stroke();
      pen.setLineDash([]);
      if (!(loss > 0)) return;
      pen.beginPath();
      pen.arc(across(head), up(loss), 4, 0, 7);
      pen.fill();
    });
  }

  const short = (value) => (value === null ? "—" : Number(value.toPrecision(3)).toLocaleString("en"));

  function drawTable(value) {
    const body = element("methods").tBodies[0];
    if (!body.rows.length) {
      data.paths.forEach((path, place) => {
        const row = body.insertRow();
        const label = document.createElement("label");
        const box = document.createElement("input");
        box.type = "checkbox";
        box.checked = true;
        box.addEventListener("change", () => {
          shown[place] = box.checked;
          drawAll();
        });
        const swatch = document.createElement("span");
        swatch.className = "swatch";
        const named = document.createElement("span");
        named.textContent = path.method;
        label.append(box, swatch, named);
        row.insertCell().append(label);
        for (let cell = 0; cell < 7; cell++) row.insertCell().className = "n";
        row.cells[1].textContent = path.batch_size.toLocaleString("en");
        row.cells[2].textContent = short(path.learning_rate);
        row.cells[7].textContent = `${(100 * away(path)).toFixed(0)} %`;
      });
    }
    data.paths.forEach((path, place) => {
      const along = curve(path);
      const where = upTo(along, value);
      const { cells } = body.rows[place];
      const paint = colour(place);
      cells[0].querySelector(".swatch").style.background = dash(place).length
        ? `repeating-linear-gradient(90deg, ${paint} 0 .5rem, transparent .5rem .7rem)`
        : paint;
      cells[3].textContent = Math.round(between(along.updates, where)).toLocaleString("en");
      cells[4].textContent = Math.round(between(along.examples, where)).toLocaleString("en");
      cells[5].textContent = short(between(along.seconds, where));
      cells[6].textContent = short(between(along.losses, where));
    });
    const name = axis === "examples" ? "rows read" : axis;
    const told = axis === "seconds" ? short(value) : Math.round(value).toLocaleString("en");
    element("now").textContent = `${told} ${name}`;
    element("place").setAttribute("aria-valuetext", `${told} ${name}`);
  }

  function drawAll() {
    if (!element("plane").clientWidth) return; // Not laid out yet, or hidden on paper.
    const value = reached();
    drawPlane(value);
    drawLosses(value);
    drawTable(value);
  }

  function go(to) {
    step = Math.max(0, Math.min(STEPS, to));
    element("place").value = step;
    drawAll();
  }

  function play(on) {
    playing = on;
    element("start").textContent = on ? "Pause" : "Play";
    if (!on) return;
    if (step >= STEPS) go(0);
    let before = null;
    requestAnimationFrame(function next(now) {
      if (!playing) return;
      go(step + (STEPS * (before === null ? 0 : now - before)) / 1000 / SECONDS);
      before = now;
      if (step >= STEPS) play(false);
      else requestAnimationFrame(next);
    });
  }

  element("start").addEventListener("click", () => play(!playing));
  element("reset").addEventListener("click", () => {
    play(false);
    go(0);
  });
  element("place").addEventListener("input", (event) => {
    play(false);
    go(Number(event.target.value));
  });
  for (const choice of document.querySelectorAll("input[name=axis]")) {
    choice.addEventListener("change", () => {
      axis = choice.value;
      drawAll();
    });
  }
  theme.connect(drawAll);
  addEventListener("resize", drawAll);
  drawAll();
  root.dataset.drawn = "yes";
})();
