// What all charts of a page share.
const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false };
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const ink = () => css("--ink");
const paint = (color) => (color === "currentColor" ? ink() : color);
const narrow = () => window.matchMedia("(max-width: 40rem)").matches;
const shown = (label) => boxes.every((box) => box.value !== label || box.checked);
const task = () => (byId("task") ? byId("task").value : Object.keys(data.pareto.tasks)[0]);
const chosen = (name) => (name === "task" ? task() : byId(name).value);

function layout(own) {
  const [line, raised] = ["--line", "--raised"].map(css);
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

function dressed(trace) {
  if (trace.type === "heatmap") return narrow() ? { ...trace, showscale: false } : trace;
  return trace.line ? { ...trace, line: { ...trace.line, color: paint(trace.line.color) } } : trace;
}

function drawChart(name) {
  const chart = data.charts[name], plot = chart.plots[chart.by.map(chosen).join("/")];
  const traces = (plot ? plot.data : []).filter((trace) => trace.meta === undefined || shown(trace.meta)).map(dressed);
  const empty = { text: "no record has this", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 };
  const own = plot ? { ...plot.layout } : { annotations: [empty], height: 240 };
  if (narrow() && own.height) own.margin = { l: 48, r: 8, t: 8, b: 48 };
  if (narrow()) own.height = (own.height || 360) + 18 * traces.filter((trace) => trace.name && trace.showlegend !== false).length;
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
