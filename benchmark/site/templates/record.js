// One record on its own: what it is, and at which stage its accuracy fell.
function termList(pairs) {
  const list = document.createElement("dl");
  for (const [term, text] of pairs) {
    list.append(Object.assign(document.createElement("dt"), { textContent: term }));
    list.append(Object.assign(document.createElement("dd"), { textContent: text }));
  }
  return list;
}

function stageRows(trials, i) {
  let before = trials.start[i];
  const rows = before === null ? [] : [["dense, same seed", fixed(before), "–"]];
  data.pareto.stages.forEach((name, stage) => {
    const now = trials.stages[stage][i];
    if (now === null) return;
    const change = before === null ? "–" : (now - before >= 0 ? "+" : "−") + Math.abs(now - before).toFixed(2);
    rows.push([`after ${name}`, fixed(now), change]);
    before = now;
  });
  return rows;
}

function verdictOf(trials, i) {
  const stage = trials.fell[i];
  return stage === null ? "Validation accuracy fell at no stage." : `Validation accuracy fell most in ${data.pareto.stages[stage]}.`;
}

function showRecord() {
  const panel = byId("record"), trials = found().trials, i = trials.key.indexOf(state.record);
  panel.hidden = i < 0;
  if (i < 0) return;
  const kind = byId("x").value, heading = document.createElement("h3"), table = document.createElement("table");
  heading.textContent = `Record ${trials.key[i]}`;
  heading.tabIndex = -1;
  const close = Object.assign(document.createElement("button"), { type: "button", textContent: "Close" });
  close.addEventListener("click", () => openRecord(null));
  const facts = termList([
    ["method", `${methods.get(trials.label[i]).title}, seed ${trials.seed[i]}, ${trials.status[i]}`],
    ["hyperparameters", words(trials, trials.hyperparameters[i]).join(", ") || "none"],
    ["test accuracy", `${fixed(trials.y[i])} %`],
    [data.pareto.axes[kind].replace(" (%)", ""), `${fixed(trials.x[kind][i])} %`],
    ["channels left", words(trials, trials.left[i]).join(", ")],
  ]);
  fill(table, ["stage", "validation accuracy (%)", "change, points"], stageRows(trials, i));
  const why = Object.assign(document.createElement("p"), { textContent: verdictOf(trials, i) });
  const home = document.createElement("p");
  home.className = "note";
  home.append("Its network: ", Object.assign(document.createElement("code"), { textContent: `deadweight export ${data.study} ${trials.key[i]}` }));
  const file = (data.kept || {})[trials.key[i]];
  if (file) home.append("; as it was kept: ", Object.assign(document.createElement("a"), { href: file, download: "", textContent: "download" }));
  panel.replaceChildren(heading, facts, why, table, home, close);
}

function openRecord(key) {
  state.record = key;
  draw();
  if (key) byId("record").querySelector("h3")?.focus();
}

byId("plot-pareto").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const all = byId("plot-pareto").data.flatMap((trace, curveNumber) =>
    trace.meta === "trials" ? trace.x.map((_, pointNumber) => ({ trace, curveNumber, pointNumber })) : []);
  if (event.key === "Enter" && all[at]) openRecord(keyOf(all[at].trace, all[at].pointNumber));
  if (!step || !all.length) return;
  event.preventDefault();
  at = (at + step + all.length) % all.length;
  const { trace, curveNumber, pointNumber } = all[at];
  Plotly.Fx.hover("plot-pareto", [{ curveNumber, pointNumber }], [`${trace.xaxis || "x"}${trace.yaxis || "y"}`]);
  byId("spoken").textContent = trace.text[pointNumber].replaceAll(",<br>", ", ").replaceAll("<br>", "; ").replaceAll("&lt;", "<").replaceAll("&amp;", "&");
});
let at = -1;
const keyOf = (trace, point) => found().trials.key[trace.customdata[point]];
