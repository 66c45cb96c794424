"use strict";
// Tables sort by a click on a column's head; one that is wider than its place says so.
const NUMBER = /^[≥≤<]?\s*([+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)/;

function sortKey(text) {
  const found = text.trim().match(NUMBER);
  if (found) return Number(found[1].replaceAll(",", "").replace("−", "-"));
  return ["", "–", "not reached"].includes(text.trim()) ? null : text.trim();
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

function sortBy(table, column) {
  const head = table.tHead.rows[0].cells[column], rows = [...table.tBodies[0].rows];
  const keyed = rows.map((row) => [sortKey(row.cells[column].textContent), row]);
  const known = keyed.filter(([key]) => key !== null), missing = keyed.filter(([key]) => key === null);
  const numeric = known.every(([key]) => typeof key === "number");
  const before = head.getAttribute("aria-sort");
  const direction = before ? (before === "descending" ? "ascending" : "descending") : numeric ? "descending" : "ascending";
  known.sort(([one], [other]) => (direction === "ascending" ? 1 : -1) * compare(one, other));
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction);
  table.tBodies[0].append(...[...known, ...missing].map(([, row]) => row));
}

function sortable(table) {
  if (!table.tHead) return;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sortBy(table, column));
    head.replaceChildren(button);
  });
}

const cues = new ResizeObserver((entries) =>
  requestAnimationFrame(() => entries.forEach(({ target }) => cue(target.closest(".scroll")))));

function cue(box) {
  const cut = box.scrollWidth > box.clientWidth + 1;
  let note = box.nextElementSibling;
  if (!note || !note.classList.contains("cue")) {
    note = document.createElement("p");
    note.className = "note cue";
    note.textContent = "The table goes on to the right: scroll it sideways. →";
    box.after(note);
  }
  note.hidden = !cut;
}

for (const table of document.querySelectorAll("table")) {
  sortable(table);
  cues.observe(table);
}
