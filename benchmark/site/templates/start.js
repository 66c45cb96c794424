// Draws the page, and again when something else is chosen.
function draw() {
  remember();
  for (const part of document.querySelectorAll("[data-factor]")) part.hidden = part.dataset.factor !== byId("factor").value;
  near.forEach(drawChart);
  if (!data.pareto) return;
  const on = boxes.filter((box) => box.checked);
  for (const button of document.querySelectorAll(".only"))
    button.setAttribute("aria-pressed", on.length === 1 && on[0].value === button.value);
  drawPareto();
  showRecord();
}

function start() {
  restore();
  for (const input of [...boxes, ...CHOICES.map(byId)]) input.addEventListener("change", draw);
  for (const query of ["(prefers-color-scheme: dark)", "(max-width: 40rem)"]) window.matchMedia(query).addEventListener("change", draw);
  if (data.pareto) startPareto();
  for (const name of Object.keys(data.charts)) sight.observe(byId(`plot-${name}`));
}

function startPareto() {
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
  byId("trials").closest("details").addEventListener("toggle", drawPareto);
}

if (window.Plotly) {
  start();
  draw();
  if (data.pareto)
    byId("plot-pareto").on("plotly_click", ({ points: [point] }) => {
      if (point.data.meta === "trials") openRecord(keyOf(point.data, point.pointNumber));
    });
} else {
  document.documentElement.classList.add("static-only");
}
