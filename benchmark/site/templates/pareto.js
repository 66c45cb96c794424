// The Pareto figure in one panel, its tables, and the texts of its points.
const methods = new Map(data.methods.map((method) => [method.label, method]));
const found = () => data.pareto.tasks[task()];
const fixed = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
const asked = (value) => (byId("y").value === "error" && value !== null ? 100 - value : value);
const words = (trials, text) => Object.entries(JSON.parse(trials.texts[text])).map(([name, value]) => `${name} ${value}`);

function hover(trials, i, label) {
  const kind = byId("x").value;
  return [
    `${methods.get(label).title}, seed ${trials.seed[i]}${trials.status[i] === "ok" ? "" : `, ${trials.status[i]}`}`,
    words(trials, trials.hyperparameters[i]).join(", ") || "no hyperparameters",
    `test ${byId("y").value}: ${fixed(asked(trials.y[i]))} %, validation: ${fixed(asked(trials.validation[i]))} %`,
    `${data.pareto.axes[kind].replace(" (%)", "")}: ${fixed(trials.x[kind][i])} %`,
    `channels left, layer by layer: ${words(trials, trials.left[i]).map((w) => w.split(" ").join(": ")).join(", ")}`,
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

function methodTraces(task, kind, label) {
  const { trials, lines } = task, method = methods.get(label), line = lines[kind][label];
  const mine = trials.label.flatMap((own, i) => (own === label && trials.x[kind][i] !== null ? [i] : []));
  const points = {
    type: "scatter", mode: "markers", name: plain(method.title), x: mine.map((i) => trials.x[kind][i]),
    y: mine.map((i) => asked(trials.y[i])), text: mine.map((i) => hover(trials, i, label).map(fold).join("<br>")),
    customdata: mine, hovertemplate: "%{text}<extra></extra>", meta: "trials", cliponaxis: false,
    marker: {
      color: paint(method.color), symbol: method.symbol, opacity: 0.5, line: { width: 0 },
      size: mine.map((i) => (trials.key[i] === state.record ? 16 : 7)),
    },
  };
  if (!line) return { points };
  const band = {
    type: "scatter", mode: "none", x: line.band[0], y: (line.band[1] || []).map(asked), fill: "toself",
    fillcolor: paint(method.color), opacity: 0.14, hoverinfo: "skip",
  };
  return { points, band, step: stair(line.half, { color: paint(method.color), dash: method.dash, width: 2.2 }) };
}

function stair([x, y], line) {
  return {
    type: "scatter", mode: "lines", x: [Math.min(0, x[0]), ...x], y: [y[0], ...y].map(asked), hoverinfo: "skip",
    line: { shape: "vh", ...line },
  };
}

function denseLine(dense, color, width) {
  const y = [dense.mean, dense.mean].map(asked);
  return { type: "scatter", mode: "lines", x: [0, 100], y, hoverinfo: "skip", line: { color, dash: "dash", width } };
}

function denseShape(dense, place) {
  if (!(dense.n > 1) || !shown("dense")) return [];
  const looks = { line: { width: 0 }, fillcolor: "#808080", opacity: 0.18, layer: "below" };
  return [{ type: "rect", x0: 0, x1: 1, y0: asked(dense.low), y1: asked(dense.high), ...place, ...looks }];
}

function oneTraces(task, kind) {
  const made = [...methods.keys()].filter(shown).map((label) => methodTraces(task, kind, label));
  const all = (part) => made.flatMap((traces) => (traces[part] ? [traces[part]] : []));
  const dense = task.dense.n && shown("dense") ? [denseLine(task.dense, "#808080", 1.2)] : [];
  return [...all("band"), ...dense, ...all("points"), ...all("step")];
}

function range(task) {
  const values = task.trials.y.filter((value) => value !== null);
  if (!values.length) return [0, 100];
  const top = Math.min(100.3, Math.max(...values, task.dense.mean ?? 0) + 0.8);
  const floor = (task.dense.mean ?? Math.max(...values)) - data.pareto.below;
  const lowest = Math.min(...values, task.dense.low ?? 100) - 0.3;
  const low = byId("all").checked ? lowest : Math.max(lowest, floor);
  return byId("y").value === "error" ? [100 - top, 100 - low] : [low, top];
}

function oneLayout(task, kind, y) {
  const shapes = denseShape(task.dense, { xref: "paper" });
  const yaxis = { title: { text: y }, range: range(task) };
  return { xaxis: { title: { text: data.pareto.axes[kind] } }, yaxis, shapes, showlegend: false };
}

function drawPareto() {
  const task = found(), kind = byId("x").value, y = byId("y").selectedOptions[0].text, trials = task.trials;
  const panels = byId("view").value === "panels";
  const own = panels ? panelLayout(task, kind, y) : oneLayout(task, kind, y);
  byId("plot-pareto").style.height = panels ? `${own.height}px` : "";
  Plotly.react("plot-pareto", panels ? panelTraces(task, kind) : oneTraces(task, kind), layout(own), CONFIG);
  const low = Math.min(...range(task).map(asked));
  const below = trials.y.filter((value, i) => value !== null && value < low && shown(trials.label[i])).length;
  const thinned = trials.key.length < trials.count ? `${trials.key.length} of ${trials.count} trials are drawn, chosen at random; lines, bands and tables are of all. ` : "";
  byId("shown").textContent = thinned + (below ? `Trials beyond the axis: ${below}.` : "");
  fillTables(task, kind, y);
}

function fill(table, columns, rows) {
  const row = (cells, kind) => {
    const made = document.createElement("tr");
    for (const cell of cells) {
      const element = made.appendChild(document.createElement(kind));
      element.append(cell);
      if (kind === "th") element.scope = "col";
    }
    return made;
  };
  const head = document.createElement("thead"), body = document.createElement("tbody");
  head.append(row(columns, "th"));
  body.append(...rows.map((cells) => row(cells, "td")));
  table.replaceChildren(head, body);
  sortable(table);
}

function recordLink(key) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = key;
  made.addEventListener("click", () => openRecord(key));
  return made;
}

function fillTables(task, kind, y) {
  const x = data.pareto.axes[kind], trials = task.trials, rows = [];
  for (const [label, line] of Object.entries(task.lines[kind]).filter(([label]) => shown(label)))
    line.half[0].forEach((value, i) => rows.push([methods.get(label).title, fixed(value), fixed(asked(line.half[1][i]))]));
  fill(byId("fronts"), ["method", x, y], rows);
  if (!byId("trials").closest("details").open) return;
  const drawn = trials.key.flatMap((_, i) => (shown(trials.label[i]) ? [i] : []));
  fill(byId("trials"), ["method", "seed", y, "validation (%)", x, "hyperparameters", "record"], drawn.map((i) => [
    methods.get(trials.label[i]).title, trials.seed[i], fixed(asked(trials.y[i])), fixed(asked(trials.validation[i])),
    fixed(trials.x[kind][i]), words(trials, trials.hyperparameters[i]).join(", ") || "none", recordLink(trials.key[i]),
  ]));
}
