"use strict";
// What is chosen on a page stands in its address, so that a link shows the same.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const CHOICES = ["task", "x", "y", "view", "all", "method", "factor"].filter(byId);
const value = (input) => (input.type === "checkbox" ? String(input.checked) : input.value);
const usual = new Map(CHOICES.map((id) => [id, value(byId(id))]));
const boxes = [...document.querySelectorAll('input[name="method"]')];
const state = { record: null };

function restore() {
  const asked = new URLSearchParams(location.search);
  for (const id of CHOICES) {
    const input = byId(id), wanted = asked.get(id);
    if (wanted === null) continue;
    if (input.type === "checkbox") input.checked = wanted === "true";
    else if ([...input.options].some((option) => option.value === wanted)) input.value = wanted;
  }
  const hidden = new Set((asked.get("hide") || "").split(","));
  for (const box of boxes) box.checked = !hidden.has(encodeURIComponent(box.value));
  state.record = asked.get("record");
}

function remember() {
  const made = new URLSearchParams();
  for (const id of CHOICES) if (value(byId(id)) !== usual.get(id)) made.set(id, value(byId(id)));
  const hidden = boxes.filter((box) => !box.checked).map((box) => encodeURIComponent(box.value));
  if (hidden.length) made.set("hide", hidden.join(","));
  if (state.record) made.set("record", state.record);
  const query = made.toString().replaceAll("%2C", ",");
  try {
    history.replaceState(null, "", `${location.pathname}${query && "?"}${query}${location.hash}`);
  } catch { /* some browsers let no page from a folder change its address */ }
}
