// Loss surfaces that are means over rows, computed here: methods walk over them side by side.
// Rows and their order are those of the Python engine, so that paths are equal to its own.
"use strict";
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("play").textContent);
  const orders = Uint8Array.from(atob(data.orders), (letter) => letter.charCodeAt(0));
  const N = data.rows;
  const { isDark } = theme;
  const ink = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const element = (id) => document.getElementById(id);

  // --- surfaces: loss and gradient at a point for the mean over some rows -------------------

  // Each returns [loss, g0, g1]; `rows` are numbers of rows, null for all of them.
  const KINDS = {
    quadratic: (surface) => {
      const [[a, b], [, d]] = surface.hessian;
      return (x, y, rows) =>
        mean(surface, rows, (row) => {
          const [u, v] = [x - row[0], y - row[1]];
          return [0.5 * (a * u * u + 2 * b * u * v + d * v * v), a * u + b * v, b * u + d * v];
        });
    },
    "double-well": (surface) => (x, y, rows) =>
      mean(surface, rows, (row) => [
        0.25 * (x * x - 1) ** 2 - 0.05 * x + 0.5 * y * y + row[0] * x + row[1] * y,
        x * x * x - x - 0.05 + row[0],
        y + row[1],
      ]),
    "many-minima": (surface) => (x, y, rows) =>
      mean(surface, rows, (row) => {
        const [u, v] = [x - row[0], y - row[1]];
        return [
          0.25 * (u * u + v * v) - 0.5 * (Math.cos(4 * u) + Math.cos(4 * v)),
          0.5 * u + 2 * Math.sin(4 * u),
          0.5 * v + 2 * Math.sin(4 * v),
        ];
      }),
  };

  function mean(surface, rows, of) {
    const sums = [0, 0, 0];
    const count = rows ? rows.length : N;
    for (let place = 0; place < count; place++) {
      const one = of(surface.rows[rows ? rows[place] : place]);
      for (let part = 0; part < 3; part++) sums[part] += one[part] / count;
    }
    return sums;
  }

  const surfaces = data.surfaces.map((surface) => ({
    ...surface,
    at: KINDS[surface.kind](surface),
  }));

  // --- order of rows -------------------------------------------------------------------------

  function generator(seed) {
    let state = (seed * 2654435761 + 1) >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  // The permutation of an epoch: that of the engine as far as the page holds it, then one made here.
  function epochOrder(seed, epoch) {
    if (epoch < data.epochs) {
      const start = (seed * data.epochs + epoch) * N;
      return orders.subarray(start, start + N);
    }
    const random = generator(seed * 100003 + epoch);
    const order = Uint8Array.from({ length: N }, (_, place) => place);
    for (let place = N - 1; place > 0; place--) {
      const other = Math.floor(random() * (place + 1));
      [order[place], order[other]] = [order[other], order[place]];
    }
    return order;
  }

  function* batches(size, seed) {
    const perEpoch = Math.floor(N / size);
    for (let epoch = 0; ; epoch++) {
      const order = size === N ? null : epochOrder(seed, epoch);
      for (let batch = 0; batch < perEpoch; batch++) {
        yield order ? order.subarray(batch * size, (batch + 1) * size) : null;
      }
    }
  }

  // --- methods: each yields its next point; `cost` is the rows that the last step read ---------

  function* gradientDescent(surface, start, size, options, momentum) {
    let [x, y] = start;
    let [u, v] = [0, 0];
    for (const rows of batches(size, options.seed)) {
      const [, g, h] = surface.at(x, y, rows);
      u = momentum * u + g;
      v = momentum * v + h;
      x -= options.rate * u;
      y -= options.rate * v;
      yield [x, y, size];
    }
  }

  // The minimum along a line, by doubling and golden section: each look reads every row.
  function along(surface, [x, y], [p, q]) {
    const loss = (length) => surface.at(x + length * p, y + length * q, null)[0];
    let looks = 0;
    const value = (length) => (looks++, loss(length));
    let [low, high] = [0, 0.1];
    let best = value(0);
    while (value(high) < best && high < 64) [low, best, high] = [high / 4, value(high), high * 2];
    const ratio = (Math.sqrt(5) - 1) / 2;
    let [a, b] = [high - ratio * (high - low), low + ratio * (high - low)];
    let [fa, fb] = [value(a), value(b)];
    for (let turn = 0; turn < 40; turn++) {
      if (fa < fb) [high, b, fb, a] = [b, a, fa, b - ratio * (b - low)], (fa = value(a));
      else [low, a, fa, b] = [a, b, fb, a + ratio * (high - a)], (fb = value(b));
    }
    const length = (low + high) / 2;
    return [x + length * p, y + length * q, looks * N];
  }

  function exactLength(surface, g, [p, q]) {
    const [[a, b], [, d]] = surface.hessian;
    return -(g[0] * p + g[1] * q) / (a * p * p + 2 * b * p * q + d * q * q);
  }

  function* lineSearches(surface, start, direction) {
    let at = start;
    for (let turn = 0; ; turn++) {
      const g = surface.at(at[0], at[1], null).slice(1);
      const way = direction(g, turn);
      if (Math.hypot(...g) < 1e-9 || !way) {
        yield [...at, N];
        continue;
      }
      if (surface.hessian) {
        const length = exactLength(surface, g, way);
        at = [at[0] + length * way[0], at[1] + length * way[1]];
        yield [...at, N];
      } else {
        const forward = along(surface, at, way);
        const backward = along(surface, at, [-way[0], -way[1]]);
        const pick = (one) => surface.at(one[0], one[1], null)[0];
        const best = pick(forward) <= pick(backward) ? forward : backward;
        at = [best[0], best[1]];
        yield [...at, forward[2] + backward[2]];
      }
    }
  }

  function* conjugateGradient(surface, start) {
    let before = null;
    let way = null;
    yield* lineSearches(surface, start, (g) => {
      // Fletcher & Reeves 1964; begun anew where the direction no longer descends.
      const beta = before ? (g[0] ** 2 + g[1] ** 2) / (before[0] ** 2 + before[1] ** 2) : 0;
      way = way && before ? [-g[0] + beta * way[0], -g[1] + beta * way[1]] : [-g[0], -g[1]];
      if (g[0] * way[0] + g[1] * way[1] >= 0) way = [-g[0], -g[1]];
      before = g;
      return way;
    });
  }

  function* annealing(surface, start, size, options) {
    const random = generator(options.seed + 77);
    let at = start;
    let loss = surface.at(at[0], at[1], null)[0];
    const reach = (surface.window[0][1] - surface.window[0][0]) / 12;
    for (let step = 0; ; step++) {
      const heat = 0.5 * 0.985 ** step;
      const normal = () => random() + random() + random() + random() - 2;
      const next = [at[0] + reach * normal(), at[1] + reach * normal()];
      const other = surface.at(next[0], next[1], null)[0];
      if (other < loss || random() < Math.exp((loss - other) / heat)) [at, loss] = [next, other];
      yield [...at, N];
    }
  }

  const METHODS = [
    { key: "full", title: "Gradient descent (all rows)", shown: true,
      walk: (s, p, o) => gradientDescent(s, p, N, o, 0) },
    { key: "mini", title: "Mini-batch", shown: true,
      walk: (s, p, o) => gradientDescent(s, p, o.batch, o, 0) },
    { key: "sgd", title: "SGD (1 row)", shown: true,
      walk: (s, p, o) => gradientDescent(s, p, 1, o, 0) },
    { key: "mini-momentum", title: "Mini-batch + momentum", shown: false,
      walk: (s, p, o) => gradientDescent(s, p, o.batch, o, o.momentum) },
    { key: "full-momentum", title: "Gradient descent + momentum", shown: false,
      walk: (s, p, o) => gradientDescent(s, p, N, o, o.momentum) },
    { key: "steepest", title: "Steepest descent (exact steps)", shown: false,
      walk: (s, p) => lineSearches(s, p, (g) => [-g[0], -g[1]]) },
    { key: "coordinate", title: "Coordinate descent", shown: false,
      walk: (s, p) => lineSearches(s, p, (g, turn) => (turn % 2 ? [0, 1] : [1, 0])) },
    { key: "conjugate", title: "Conjugate gradient", shown: false,
      walk: (s, p) => conjugateGradient(s, p) },
    { key: "annealing", title: "Simulated annealing", shown: false,
      walk: (s, p, o) => annealing(s, p, 0, o) },
  ];
  const RULES = METHODS.findIndex((one) => one.key === "steepest");
  METHODS.forEach((method, place) => {
    // The classical methods are dashed, and begin again with the second colour: beside gradient
    // descent, which has the first, they can all be told apart.
    const paint = place < RULES ? place : place - RULES + 1;
    method.light = data.colours[paint];
    method.dark = data.dark[paint];
    method.dash = place < RULES ? [] : [6, 4];
  });
  const colour = (method) => (isDark() ? method.dark : method.light);

  // The path of a method: for the tests, and for anybody's console.
  function path(name, key, { updates, start, ...options }) {
    const surface = surfaces.find((one) => one.name === name);
    const method = METHODS.find((one) => one.key === key);
    const from = start || surface.start;
    const settings = { ...defaults(surface), ...options };
    const points = [[...from]];
    for (const [x, y] of method.walk(surface, from, settings)) {
      points.push([x, y]);
      if (points.length > updates) break;
    }
    return points;
  }

  const defaults = (surface) => ({
    batch: surface.batch,
    rate: surface.rate,
    momentum: 0.9,
    seed: 0,
  });

  // --- the state of the page ------------------------------------------------------------------

  const RATES = Array.from({ length: 41 }, (_, place) => Number((10 ** (-3 + place * 0.08)).toPrecision(2)));
  const SIZES = Array.from({ length: Math.log2(N) + 1 }, (_, power) => 2 ** power);
  let surface = surfaces[0];
  let options = defaults(surface);
  let start = [...surface.start];
  let walks = [];
  let crowd = null;
  let playing = false;
  let ticks = 0;

  function reset() {
    walks = METHODS.map((method) => ({
      method,
      walk: method.walk(surface, start, options),
      points: [[...start]],
      losses: [[0, surface.at(start[0], start[1], null)[0]]],
      rows: 0,
      updates: 0,
      gone: false,
    }));
    crowd = surface.crowd ? newCrowd() : null;
    ticks = 0;
    drawAll();
  }

  function advance(one) {
    const next = one.walk.next().value;
    if (!next || !Number.isFinite(next[0] + next[1]) || Math.hypot(next[0], next[1]) > 1e6) {
      one.gone = true;
      return;
    }
    one.points.push([next[0], next[1]]);
    one.rows += next[2];
    one.updates += 1;
    one.losses.push([one.rows, surface.at(next[0], next[1], null)[0]]);
    if (one.points.length > 6000) one.points.shift();
  }

  // By updates every method makes one; by rows each reads as many as gradient descent in one.
  function tick() {
    ticks += 1;
    const byRows = element("pace").value === "rows";
    for (const one of walks) {
      if (one.gone || !one.method.shown) continue;
      if (!byRows) {
        advance(one);
        continue;
      }
      for (let turn = 0; one.rows < ticks * N && turn < N && !one.gone; turn++) advance(one);
    }
    if (crowd) moveCrowd(byRows);
  }

  // --- 1,000 runs at once -----------------------------------------------------------------------

  const CROWD = ["full", "mini", "sgd"];
  function newCrowd() {
    return CROWD.map((key) => {
      const count = key === "full" ? 1 : data.crowd;
      return {
        key,
        count,
        size: key === "full" ? N : key === "sgd" ? 1 : options.batch,
        random: generator(options.seed * 31 + CROWD.indexOf(key) + 5),
        x: new Float64Array(count).fill(start[0]),
        y: new Float64Array(count).fill(start[1]),
        left: new Uint8Array(count),
        rows: 0,
      };
    });
  }

  function moveCrowd(byRows) {
    for (const group of crowd) {
      const most = 40000 / (group.count * group.size) || 1;
      const updates = byRows ? Math.max(1, Math.min(N / group.size, most)) : 1;
      for (let turn = 0; turn < updates; turn++) moveGroup(group);
    }
  }

  function moveGroup(group) {
    const rows = group.size === N ? null : new Uint8Array(Math.min(group.size, 64));
    for (let one = 0; one < group.count; one++) {
      if (rows) for (let place = 0; place < rows.length; place++) rows[place] = group.random() * N;
      const [, g, h] = surface.at(group.x[one], group.y[one], rows);
      // A batch beyond 64 rows: the mean of 64, its scatter shrunk as that of the whole batch.
      let [p, q] = [g, h];
      if (rows && rows.length < group.size) {
        const shrink = Math.sqrt(rows.length / group.size);
        const [, m, n] = surface.at(group.x[one], group.y[one], null);
        [p, q] = [m + shrink * (g - m), n + shrink * (h - n)];
      }
      group.x[one] -= options.rate * p;
      group.y[one] -= options.rate * q;
      if (group.x[one] > 0) group.left[one] = 1;
    }
    group.rows += group.size;
  }

  // --- drawing ----------------------------------------------------------------------------------

  const map = element("map");
  let ground = null;

  function fitted(canvas, ratio) {
    const width = canvas.clientWidth;
    const height = Math.round(width * ratio);
    const scale = devicePixelRatio || 1;
    const size = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) {
      [canvas.width, canvas.height] = size;
      canvas.style.height = height + "px";
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    return [pen, width, height];
  }

  // Both axes have one scale: a circle of the surface is a circle of the picture.
  function frame() {
    const [[x0, x1], [y0, y1]] = surface.window;
    const ratio = (y1 - y0) / (x1 - x0);
    const [pen, width, height] = fitted(map, ratio);
    return {
      pen, width, height,
      across: (x) => ((x - x0) / (x1 - x0)) * width,
      up: (y) => height - ((y - y0) / (y1 - y0)) * height,
      back: (px, py) => [x0 + (px / width) * (x1 - x0), y0 + ((height - py) / height) * (y1 - y0)],
    };
  }

  function drawGround({ pen, width, height, back }) {
    const key = [surface.name, width, height, isDark()].join();
    if (!ground || ground.key !== key) {
      // The surface is computed at every third pixel; between them it is interpolated.
      const step = 3;
      const [columns, lines] = [Math.ceil(width / step) + 1, Math.ceil(height / step) + 1];
      const heights = new Float64Array(columns * lines);
      let [low, high] = [Infinity, -Infinity];
      for (let line = 0; line < lines; line++) {
        for (let column = 0; column < columns; column++) {
          const [x, y] = back(column * step, line * step);
          const value = surface.height(x, y);
          heights[line * columns + column] = value;
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
      }
      const levels = heights.map((value) => 18 * Math.sqrt((value - low) / (high - low || 1)));
      const image = document.createElement("canvas");
      [image.width, image.height] = [Math.max(1, Math.floor(width)), Math.max(1, height)];
      const brush = image.getContext("2d");
      const pixels = brush.createImageData(image.width, image.height);
      const [dark, light] = isDark() ? [[22, 27, 34], [70, 84, 100]] : [[214, 226, 238], [255, 255, 255]];
      for (let place = 0; place < image.width * image.height; place++) {
        const [column, line] = [(place % image.width) / step, Math.floor(place / image.width) / step];
        const corner = Math.floor(line) * columns + Math.floor(column);
        const [p, q] = [column % 1, line % 1];
        const [a, b] = [levels[corner], levels[corner + 1]];
        const [c, d] = [levels[corner + columns], levels[corner + columns + 1]];
        const level = (1 - q) * (a + p * (b - a)) + q * (c + p * (d - c));
        const slope = Math.hypot((1 - q) * (b - a) + q * (d - c), (1 - p) * (c - a) + p * (d - b)) / step;
        // Lines of equal height, about a pixel wide and smooth at their edges.
        const near = Math.round(level);
        const edge = near ? Math.max(0, 1.2 - Math.abs(level - near) / (slope || 1e-9)) : 0;
        const bright = 1 + Math.min(1, edge) * (isDark() ? 0.5 : -0.14);
        for (let channel = 0; channel < 3; channel++) {
          const shade = dark[channel] + (Math.floor(level) / 18) * (light[channel] - dark[channel]);
          pixels.data[4 * place + channel] = shade * bright;
        }
        pixels.data[4 * place + 3] = 255;
      }
      brush.putImageData(pixels, 0, 0);
      ground = { key, image };
    }
    pen.imageSmoothingEnabled = true;
    pen.drawImage(ground.image, 0, 0, width, height);
  }

  function arrow(pen, x, y, angle, size) {
    pen.beginPath();
    pen.moveTo(x, y);
    for (const turn of [2.6, -2.6]) {
      pen.lineTo(x + size * Math.cos(angle + turn), y + size * Math.sin(angle + turn));
    }
    pen.closePath();
    pen.fill();
  }

  function drawMap() {
    const view = frame();
    const { pen, across, up } = view;
    drawGround(view);
    if (crowd && element("crowd").checked) {
      for (const group of crowd) {
        pen.fillStyle = colour(METHODS.find((one) => one.key === group.key));
        pen.globalAlpha = group.count === 1 ? 1 : 0.25;
        for (let one = 0; one < group.count; one++) {
          pen.fillRect(across(group.x[one]) - 1, up(group.y[one]) - 1, 2.5, 2.5);
        }
      }
      pen.globalAlpha = 1;
    }
    for (const one of walks) {
      if (!one.method.shown) continue;
      pen.strokeStyle = pen.fillStyle = colour(one.method);
      pen.lineWidth = 1.6;
      pen.setLineDash(one.method.dash);
      const from = Math.max(1, one.points.length - 1500);
      pen.globalAlpha = one.points.length > 300 ? 0.55 : 0.9;
      pen.beginPath();
      pen.moveTo(across(one.points[from - 1][0]), up(one.points[from - 1][1]));
      for (let place = from; place < one.points.length; place++) {
        pen.lineTo(across(one.points[place][0]), up(one.points[place][1]));
      }
      pen.stroke();
      pen.setLineDash([]);
      pen.globalAlpha = 1;
      const few = one.points.length <= 60;
      for (let place = 1; few && place < one.points.length; place++) {
        const [[x, y], [p, q]] = [one.points[place], one.points[place - 1]];
        const [dx, dy] = [across(x) - across(p), up(y) - up(q)];
        if (Math.hypot(dx, dy) > 14) {
          arrow(pen, across(p) + 0.6 * dx, up(q) + 0.6 * dy, Math.atan2(dy, dx), 8);
        }
      }
      const [x, y] = one.points[one.points.length - 1];
      pen.beginPath();
      pen.arc(across(x), up(y), 6, 0, 7);
      pen.fill();
      pen.strokeStyle = ink("page");
      pen.lineWidth = 1.5;
      pen.stroke();
    }
    pen.strokeStyle = ink("ink");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(across(start[0]), up(start[1]), 8, 0, 7);
    pen.stroke();
    const lowest = [across(surface.minimum[0]), up(surface.minimum[1])];
    pen.beginPath();
    for (const [p, q] of [[-6, 0], [6, 0], [0, -6], [0, 6]]) {
      pen.moveTo(...lowest);
      pen.lineTo(lowest[0] + p, lowest[1] + q);
    }
    pen.stroke();
  }

  // The true gradient, and those of 200 mini-batches, at the point of the mini-batch method.
  function drawCloud() {
    const [pen, width, height] = fitted(element("cloud"), 0.75);
    const one = walks.find((walk) => walk.method.key === "mini");
    const [x, y] = one.points[one.points.length - 1];
    const [, g, h] = surface.at(x, y, null);
    const random = generator(options.seed + ticks + 1);
    const found = Array.from({ length: 200 }, () => {
      if (options.batch === N) return [g, h];
      // Distinct rows, as in an epoch.
      const rows = Array.from({ length: N }, (_, place) => place);
      for (let place = 0; place < options.batch; place++) {
        const other = place + Math.floor(random() * (N - place));
        [rows[place], rows[other]] = [rows[other], rows[place]];
      }
      return surface.at(x, y, rows.slice(0, options.batch)).slice(1);
    });
    const reach = 1.1 * Math.max(1e-6, Math.hypot(g, h), ...found.map(([p, q]) => Math.hypot(p, q)));
    const scale = Math.min(width, height) / 2 / reach;
    const [cx, cy] = [width / 2, height / 2];
    pen.strokeStyle = ink("line");
    pen.beginPath();
    pen.moveTo(0, cy);
    pen.lineTo(width, cy);
    pen.moveTo(cx, 0);
    pen.lineTo(cx, height);
    pen.stroke();
    pen.fillStyle = colour(METHODS[1]);
    pen.globalAlpha = 0.45;
    for (const [p, q] of found) {
      pen.beginPath();
      pen.arc(cx + scale * p, cy - scale * q, 2.4, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = pen.fillStyle = ink("ink");
    pen.lineWidth = 2.5;
    pen.beginPath();
    pen.moveTo(cx, cy);
    pen.lineTo(cx + scale * g, cy - scale * h);
    pen.stroke();
    arrow(pen, cx + scale * g, cy - scale * h, Math.atan2(-h, g), 11);
    const squares = found.reduce((sum, [p, q]) => sum + (p - g) ** 2 + (q - h) ** 2, 0);
    const off = Math.sqrt(squares / found.length) / Math.max(1e-12, Math.hypot(g, h));
    element("off").textContent = off > 100 ? "more than 100 times" : `${off.toPrecision(2)} times`;
  }

  function drawLosses() {
    const [pen, width, height] = fitted(element("losses"), 0.75);
    const shown = walks.filter((one) => one.method.shown && one.losses.length > 1);
    const byRows = element("pace").value === "rows";
    const x = (one, place) => (byRows ? one.losses[place][0] : place);
    const far = Math.max(0, ...shown.map((one) => x(one, one.losses.length - 1)));
    const most = Math.max(1, far);
    const floor = surface.lowest;
    const above = (loss) => Math.log10(Math.max(1e-6, loss - floor));
    const top = Math.max(0, above(surface.at(start[0], start[1], null)[0])) + 0.2;
    const bottom = -4.2;
    const across = (value) => 30 + (value / most) * (width - 40);
    const up = (value) => 8 + ((top - Math.max(bottom, value)) / (top - bottom)) * (height - 30);
    pen.font = "11px " + getComputedStyle(document.body).fontFamily;
    pen.fillStyle = ink("soft");
    pen.strokeStyle = ink("line");
    for (let power = -4; power <= top; power++) {
      pen.beginPath();
      pen.moveTo(30, up(power));
      pen.lineTo(width, up(power));
      pen.stroke();
      pen.fillText(power < 0 ? `1e${power}` : String(10 ** power), 0, up(power) + 4);
    }
    pen.fillText(`${Math.round(far).toLocaleString("en")} ${byRows ? "rows read" : "updates"}`, width - 110, height - 4);
    for (const one of shown) {
      pen.strokeStyle = colour(one.method);
      pen.setLineDash(one.method.dash);
      pen.lineWidth = 1.5;
      pen.beginPath();
      const skip = Math.max(1, Math.floor(one.losses.length / 400));
      for (let place = 0; place < one.losses.length; place += skip) {
        const y = up(above(one.losses[place][1]));
        if (place) pen.lineTo(across(x(one, place)), y);
        else pen.moveTo(across(0), y);
      }
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  function drawCrowd() {
    const place = element("runs");
    place.hidden = !crowd;
    if (!crowd) return;
    const [pen, width, height] = fitted(element("bars"), 0.45);
    pen.font = "12px " + getComputedStyle(document.body).fontFamily;
    const wells = surface.name === "double-well";
    element("runs-title").textContent = wells
      ? "Runs that have left the shallow well by now"
      : "Runs that are in the deepest basin now";
    crowd.forEach((group, line) => {
      const method = METHODS.find((one) => one.key === group.key);
      const share = wells
        ? group.left.reduce((sum, one) => sum + one, 0) / group.count
        : group.x.reduce((sum, _, one) => sum + inDeepest(group, one), 0) / group.count;
      const top = 8 + (line * (height - 8)) / crowd.length;
      const tall = (height - 8) / crowd.length - 22;
      pen.fillStyle = ink("soft");
      pen.fillText(
        `${title(method)}: ${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`,
        0, top + 11,
      );
      pen.fillStyle = ink("card");
      pen.fillRect(0, top + 16, width, tall);
      pen.fillStyle = colour(method);
      pen.fillRect(0, top + 16, width * share, tall);
    });
  }

  const inDeepest = (group, one) =>
    Math.abs(group.x[one]) < Math.PI / 4 && Math.abs(group.y[one]) < Math.PI / 4 ? 1 : 0;

  const title = (method) =>
    method.key.startsWith("mini") ? method.title.replace("Mini-batch", `Mini-batch ${options.batch}`) : method.title;

  function drawTable() {
    const body = element("methods").tBodies[0];
    if (!body.rows.length) {
      for (const [place, method] of METHODS.entries()) {
        const row = body.insertRow();
        const label = document.createElement("label");
        const box = document.createElement("input");
        box.type = "checkbox";
        box.checked = method.shown;
        box.addEventListener("change", () => {
          method.shown = box.checked;
          drawAll();
        });
        const swatch = document.createElement("span");
        swatch.className = "swatch";
        label.append(box, swatch, document.createElement("span"));
        row.insertCell().append(label);
        for (let cell = 0; cell < 3; cell++) row.insertCell().className = "n";
        row.dataset.method = METHODS[place].key;
      }
    }
    METHODS.forEach((method, place) => {
      const [first, ...cells] = body.rows[place].cells;
      const one = walks[place];
      const paint = colour(method);
      first.querySelector(".swatch").style.background = method.dash.length
        ? `repeating-linear-gradient(90deg, ${paint} 0 .5rem, transparent .5rem .7rem)`
        : paint;
      first.querySelector("label > span:last-child").textContent = title(method);
      const loss = one.losses[one.losses.length - 1][1] - surface.lowest;
      cells[0].textContent = one.updates.toLocaleString("en");
      cells[1].textContent = one.rows.toLocaleString("en");
      cells[2].textContent = one.gone ? "diverged" : Math.max(0, loss).toPrecision(3);
    });
    const dial = options.rate / options.batch;
    element("noise").textContent = dial.toPrecision(2);
    const part = (Math.log10(dial) + 5.5) / 6;
    element("needle").style.left = `${100 * Math.min(1, Math.max(0, part))}%`;
  }

  function drawAll() {
    if (!map.clientWidth) return; // Not laid out yet, or hidden on paper.
    drawMap();
    drawCloud();
    drawLosses();
    drawCrowd();
    drawTable();
  }

  // --- controls -----------------------------------------------------------------------------------

  const SLIDERS = {
    batch: [SIZES, (value) => `${value} of ${N} rows`],
    rate: [RATES, String],
    momentum: [Array.from({ length: 20 }, (_, n) => n * 0.05).map((v) => Number(v.toFixed(2))), String],
    seed: [Array.from({ length: data.seeds }, (_, n) => n), String],
  };
  const closest = (values, value) =>
    values.reduce((best, one, place) => (Math.abs(one - value) < Math.abs(values[best] - value) ? place : best), 0);

  function showControls() {
    for (const [name, [values, text]] of Object.entries(SLIDERS)) {
      const input = element(name);
      input.max = values.length - 1;
      input.value = closest(values, options[name]);
      input.setAttribute("aria-valuetext", text(options[name]));
      element(name + "-value").textContent = text(options[name]);
    }
    element("about").textContent = surface.title;
    element("crowd").closest("label").hidden = !surface.crowd;
  }

  for (const [name, [values]] of Object.entries(SLIDERS)) {
    element(name).addEventListener("input", (event) => {
      options = { ...options, [name]: values[event.target.value] };
      showControls();
      reset();
    });
  }
  element("surface").addEventListener("change", (event) => choose(event.target.value));
  element("pace").addEventListener("change", reset);
  element("crowd").addEventListener("change", drawAll);
  element("start").addEventListener("click", () => play(!playing));
  element("step").addEventListener("click", () => {
    play(false);
    tick();
    drawAll();
  });
  element("reset").addEventListener("click", () => {
    play(false);
    reset();
  });
  map.addEventListener("click", (event) => {
    const box = map.getBoundingClientRect();
    const view = frame();
    start = view.back(event.clientX - box.left, event.clientY - box.top);
    reset();
  });

  function choose(name) {
    surface = surfaces.find((one) => one.name === name);
    options = { ...defaults(surface), seed: options.seed };
    start = [...surface.start];
    for (const method of METHODS) method.shown = surface.methods.includes(method.key);
    const body = element("methods").tBodies[0];
    [...body.rows].forEach((row, place) => {
      row.querySelector("input").checked = METHODS[place].shown;
    });
    element("surface").value = name;
    showControls();
    reset();
  }

  function play(on) {
    playing = on;
    element("start").textContent = on ? "Pause" : "Play";
    if (on) requestAnimationFrame(loop);
  }

  let last = 0;
  function loop(now) {
    if (!playing) return;
    if (now - last >= 1000 / Number(element("speed").value)) {
      last = now;
      tick();
      drawAll();
    }
    requestAnimationFrame(loop);
  }

  theme.connect(drawAll);
  addEventListener("resize", drawAll);

  // The height over all rows in closed form, cheap enough to draw: but for a constant, that of a
  // quadratic or of the double well is the height for the mean row.
  for (const one of surfaces) {
    const rows = one.rows;
    const middle = rows.reduce(([a, b], [x, y]) => [a + x / N, b + y / N], [0, 0]);
    one.lowest = one.at(one.minimum[0], one.minimum[1], null)[0];
    if (one.kind !== "many-minima") {
      const alone = KINDS[one.kind]({ ...one, rows: [middle] });
      const zero = Uint8Array.of(0);
      const shift = one.at(0, 0, null)[0] - alone(0, 0, zero)[0];
      one.height = (x, y) => alone(x, y, zero)[0] + shift - one.lowest;
    } else {
      // The mean over the rows in closed form: cos 4(θ − c) = cos 4θ cos 4c + sin 4θ sin 4c.
      const of = (what) => [0, 1].map((k) => rows.reduce((sum, row) => sum + what(row[k]) / N, 0));
      const [even, odd] = [of((c) => Math.cos(4 * c)), of((c) => Math.sin(4 * c))];
      const square = of((c) => c * c);
      const part = (t, k) =>
        0.25 * (t * t - 2 * t * middle[k] + square[k]) -
        0.5 * (even[k] * Math.cos(4 * t) + odd[k] * Math.sin(4 * t));
      one.height = (x, y) => part(x, 0) + part(y, 1) - one.lowest;
    }
  }

  window.play = { path, tick: () => (tick(), drawAll()), choose, walks: () => walks, crowd: () => crowd };
  const wanted = decodeURIComponent(location.hash.slice(1)).split("&");
  choose(surfaces.some((one) => one.name === wanted[0]) ? wanted[0] : data.first);
  root.dataset.drawn = "yes";
})();
