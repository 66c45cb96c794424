// The Pareto figure with a panel for each method, over the lines of all others in grey.
const ROOM = 13;  // rem that a panel takes across

function grid(labels) {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const columns = Math.max(2, Math.min(5, labels.length, Math.floor(byId("plot-pareto").clientWidth / (ROOM * rem))));
  const rows = Math.ceil(labels.length / columns);
  return { columns, rows, at: labels.map((_, i) => [i % columns, Math.floor(i / columns)]) };
}

const paneled = () => [...methods.keys()].filter((label) => label !== "dense" && shown(label));
const axis = (kind, i) => `${kind}${i ? i + 1 : ""}`;

function panelTraces(task, kind) {
  const line = css("--line"), lines = Object.entries(task.lines[kind]);
  const gap = (part) => lines.flatMap(([, found]) => {
    const { x, y } = stair(found.half, {});
    return [...(part ? y : x), null];
  });
  const others = { type: "scatter", mode: "lines", x: gap(0), y: gap(1), hoverinfo: "skip", line: { shape: "vh", color: line, width: 1 } };
  const beat = task.lines[kind].scratch && stair(task.lines[kind].scratch.half, { color: ink(), dash: "dash", width: 1 });
  return paneled().flatMap((label, i) => {
    const { points, band, step } = methodTraces(task, kind, label);
    const dense = task.dense.n && shown("dense") ? denseLine(task.dense, "#808080", 1) : null;
    const traces = [others, dense, label === "scratch" ? null : beat, band, points, step].filter(Boolean);
    return traces.map((trace) => ({ ...trace, xaxis: axis("x", i), yaxis: axis("y", i) }));
  });
}

function wrapped(title, width) {
  const lines = [""];
  for (const word of title.split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length > width) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  return lines.map(plain).join("<br>");
}

function panelLayout(task, kind, y) {
  const labels = paneled(), { columns, rows, at } = grid(labels);
  const height = Math.max(1, rows) * 190 + 60, top = 42 / height, wide = 0.03;
  const least = Math.min(0, ...task.trials.x[kind].filter((value) => value !== null));
  const own = { height, showlegend: false, shapes: [], annotations: [], margin: { l: narrow() ? 48 : 64, r: 12, t: 8, b: 56 } };
  at.forEach(([column, row], i) => {
    const left = column / columns, bottom = 1 - (row + 1) / rows;
    const last = i + columns >= labels.length;
    own[axis("xaxis", i)] = { domain: [left + wide / 2, left + 1 / columns - wide / 2], range: [least - 2, 102], anchor: axis("y", i), showticklabels: last, tickvals: narrow() ? [0, 50] : [0, 50, 100] };
    own[axis("yaxis", i)] = { domain: [bottom + (rows > 1 ? 0.02 : 0), bottom + 1 / rows - top], range: range(task), anchor: axis("x", i), showticklabels: column === 0, nticks: 5 };
    own.shapes.push(...denseShape(task.dense, { xref: `${axis("x", i)} domain`, yref: axis("y", i) }));
    own.annotations.push({
      text: wrapped(methods.get(labels[i]).title, 24), showarrow: false, xref: `${axis("x", i)} domain`, yref: `${axis("y", i)} domain`,
      x: 0.5, y: 1, xanchor: "center", yanchor: "bottom", font: { size: 11.5 },
    });
  });
  const title = { showarrow: false, xref: "paper", yref: "paper" };
  own.annotations.push({ ...title, text: data.pareto.axes[kind], x: 0.5, y: 0, yshift: -46, yanchor: "bottom" });
  own.annotations.push({ ...title, text: y, x: 0, xshift: narrow() ? -40 : -54, y: 0.5, textangle: -90, xanchor: "left", yanchor: "middle" });
  return own;
}
