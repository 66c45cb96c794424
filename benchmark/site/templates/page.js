"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const methods = new Map(data.methods.map((method) => [method.label, method]));
const boxes = [...document.querySelectorAll('input[name="method"]')];
const shown = (label) => boxes.every((box) => box.value !== label || box.checked);
const task = () => (byId("task") ? byId("task").value : Object.keys(data.pareto.tasks)[0]);
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const fixed = (value) => (value === null ? "–" : value.toFixed(2));
const asked = (value) => (byId("y").value === "error" && value !== null ? 100 - value : value);
const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false };
const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
const paint = (color) => (color === "currentColor" ? ink() : color);
const narrow = () => window.matchMedia("(max-width: 40rem)").matches;

function layout(own) {
  const css = getComputedStyle(document.documentElement);
  const [line, raised] = ["--line", "--raised"].map((name) => css.getPropertyValue(name).trim());
  const made = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink(), size: narrow() ? 11 : 13 },
    margin: { l: narrow() ? 48 : 64, r: 12, t: 12, b: 56 }, hovermode: "closest", dragmode: narrow() ? false : "zoom",
    hoverlabel: { bgcolor: raised, bordercolor: line, font: { color: ink() }, align: "left" },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 }, ...own,
  };
  for (const name of Object.keys(made).concat(["xaxis", "yaxis"]).filter((key) => /^[xy]axis\d*$/.test(key))) {
    const grid = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
    made[name] = { ...grid, ...made[name], fixedrange: narrow() };
  }
  return made;
}

function hover(trials, i, label) {
  const words = (text) => Object.entries(JSON.parse(trials.texts[text])).map(([name, value]) => `${name} ${value}`);
  const kind = byId("x").value;
  return [
    `${methods.get(label).title}, seed ${trials.seed[i]}${trials.status[i] === "ok" ? "" : `, ${trials.status[i]}`}`,
    words(trials.hyperparameters[i]).join(", ") || "no hyperparameters",
    `test ${byId("y").value}: ${fixed(asked(trials.y[i]))} %, validation: ${fixed(asked(trials.validation[i]))} %`,
    `${data.pareto.axes[kind].replace(" (%)", "")}: ${fixed(trials.x[kind][i])} %`,
    `channels left, layer by layer: ${words(trials.left[i]).map((w) => w.split(" ").join(": ")).join(", ")}`,
    `record ${trials.key[i]}`,
  ];
}

function fold(text) {
  const lines = [""], width = narrow() ? 34 : 70;
  for (const word of text.split(", ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length > width) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? ", " : "") + word;
  }
  return lines.map(plain).join(",<br>");
}

function paretoTraces(found, kind) {
  const { trials, lines, dense } = found;
  const points = [], steps = [], bands = [];
  for (const [label, method] of methods) {
    if (!shown(label)) continue;
    const mine = trials.label.flatMap((own, i) => (own === label && trials.x[kind][i] !== null ? [i] : []));
    points.push({
      type: "scatter", mode: "markers", name: plain(method.title), x: mine.map((i) => trials.x[kind][i]),
      y: mine.map((i) => asked(trials.y[i])), text: mine.map((i) => hover(trials, i, label).map(fold).join("<br>")),
      customdata: mine, hovertemplate: "%{text}<extra></extra>", meta: "trials",
      marker: { color: paint(method.color), symbol: method.symbol, size: 7, opacity: 0.5 },
    });
    const line = lines[kind][label];
    if (!line) continue;
    bands.push({
      type: "scatter", mode: "none", x: line.band[0], y: (line.band[1] || []).map(asked), fill: "toself",
      fillcolor: paint(method.color), opacity: 0.14, hoverinfo: "skip",
    });
    steps.push({
      type: "scatter", mode: "lines", x: [Math.min(0, line.half[0][0]), ...line.half[0]],
      y: [line.half[1][0], ...line.half[1]].map(asked), hoverinfo: "skip",
      line: { shape: "vh", color: paint(method.color), dash: method.dash, width: 2.2 },
    });
  }
  if (!dense.n || !shown("dense")) return [...bands, ...points, ...steps];
  const line = { type: "scatter", mode: "lines", x: [0, 100], y: [dense.mean, dense.mean].map(asked), hoverinfo: "skip" };
  return [...bands, { ...line, line: { color: "#808080", dash: "dash", width: 1.2 } }, ...points, ...steps];
}

function range(found) {
  const values = found.trials.y.filter((value) => value !== null);
  if (!values.length) return [0, 100];
  const top = Math.min(100.3, Math.max(...values, found.dense.mean ?? 0) + 0.8);
  const floor = (found.dense.mean ?? Math.max(...values)) - data.pareto.below;
  const lowest = Math.min(...values, found.dense.low ?? 100) - 0.3;
  const low = byId("all").checked ? lowest : Math.max(lowest, floor);
  return byId("y").value === "error" ? [100 - top, 100 - low] : [low, top];
}

function drawPareto() {
  const found = data.pareto.tasks[task()], kind = byId("x").value, y = byId("y").selectedOptions[0].text;
  const dense = found.dense;
  const shape = { type: "rect", xref: "paper", x0: 0, x1: 1, line: { width: 0 }, fillcolor: "#808080", opacity: 0.18, layer: "below" };
  const shapes = dense.n > 1 && shown("dense") ? [{ ...shape, y0: asked(dense.low), y1: asked(dense.high) }] : [];
  const own = { xaxis: { title: { text: data.pareto.axes[kind] } }, yaxis: { title: { text: y } }, shapes, showlegend: false };
  own.yaxis.range = range(found);
  Plotly.react("plot-pareto", paretoTraces(found, kind), layout(own), CONFIG);
  const low = Math.min(...own.yaxis.range.map(asked)), trials = found.trials;
  const below = trials.y.filter((value, i) => value !== null && value < low && shown(trials.label[i])).length;
  const thinned = trials.key.length < trials.count ? `${trials.key.length} of ${trials.count} trials are drawn, evenly thinned; lines, bands and tables are of all. ` : "";
  byId("shown").textContent = thinned + (below ? `${below} trials lie beyond the axis.` : "");
  fillTables(found, kind, y);
}

function fill(id, columns, rows) {
  const table = byId(id);
  const row = (cells, kind) => {
    const made = document.createElement("tr");
    for (const cell of cells) {
      const element = made.appendChild(document.createElement(kind));
      element.textContent = cell;
      if (kind === "th") element.scope = "col";
    }
    return made;
  };
  const head = document.createElement("thead"), body = document.createElement("tbody");
  head.append(row(columns, "th"));
  body.append(...rows.map((cells) => row(cells, "td")));
  table.replaceChildren(head, body);
}

function fillTables(found, kind, y) {
  const x = data.pareto.axes[kind], trials = found.trials, rows = [];
  for (const [label, line] of Object.entries(found.lines[kind]).filter(([label]) => shown(label)))
    line.half[0].forEach((value, i) => rows.push([methods.get(label).title, fixed(value), fixed(asked(line.half[1][i]))]));
  fill("fronts", ["method", x, y], rows);
  if (!byId("trials").closest("details").open) return;
  const drawn = trials.key.flatMap((_, i) => (shown(trials.label[i]) ? [i] : []));
  fill("trials", ["method and seed", "hyperparameters", "accuracy", "removed", "channels left", "record"], drawn.map((i) => hover(trials, i, trials.label[i])));
}

function drawChart(name) {
  const chart = data.charts[name];
  const plot = chart.plots[chart.by_method ? `${task()}/${byId("method").value}` : task()];
  const traces = (plot ? plot.data : []).filter((trace) => trace.meta === undefined || shown(trace.meta))
    .map((trace) => ({ ...trace, line: { ...trace.line, color: paint(trace.line.color) } }));
  const empty = { text: "no record has this", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 };
  const own = plot ? { ...plot.layout } : { annotations: [empty], height: 240 };
  if (narrow() && own.height) own.margin = { l: 48, r: 8, t: 8, b: 48 };
  byId(`plot-${name}`).style.minHeight = `${own.height || 360}px`;
  Plotly.react(`plot-${name}`, traces, layout(own), CONFIG);
}

const near = new Set();  // charts that were in sight: the others are drawn when they come there
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((one) => one.isIntersecting)) {
    const name = entry.target.id.slice("plot-".length);
    sight.unobserve(entry.target);
    near.add(name);
    drawChart(name);
  }
}, { rootMargin: "300px" });
for (const name of Object.keys(data.charts)) sight.observe(byId(`plot-${name}`));

function draw() {
  const on = boxes.filter((box) => box.checked);
  for (const button of document.querySelectorAll(".only"))
    button.setAttribute("aria-pressed", on.length === 1 && on[0].value === button.value);
  drawPareto();
  near.forEach(drawChart);
}

const show = (wanted) => {
  for (const box of boxes) box.checked = wanted(box.value);
  draw();
};
byId("every").addEventListener("click", () => show(() => true));
byId("none").addEventListener("click", () => show(() => false));
for (const button of document.querySelectorAll(".only"))
  button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") === "true";
    show((label) => pressed || label === button.value);
  });
for (const input of [...boxes, ...["x", "y", "all", "task", "method"].map(byId)])
  if (input) input.addEventListener("change", draw);
byId("trials").closest("details").addEventListener("toggle", drawPareto);
for (const query of ["(prefers-color-scheme: dark)", "(max-width: 40rem)"]) window.matchMedia(query).addEventListener("change", draw);

let at = -1;
byId("plot-pareto").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = byId("plot-pareto").data.flatMap((trace, curveNumber) =>
    trace.meta === "trials" ? trace.x.map((_, pointNumber) => ({ curveNumber, pointNumber, text: trace.text[pointNumber] })) : []);
  if (!all.length) return;
  at = (at + step + all.length) % all.length;
  Plotly.Fx.hover("plot-pareto", [all[at]]);
  byId("spoken").textContent = all[at].text.replaceAll(",<br>", ", ").replaceAll("<br>", "; ").replaceAll("&lt;", "<").replaceAll("&amp;", "&");
});
draw();
