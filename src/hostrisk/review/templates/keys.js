"use strict";
const root = document.documentElement;
const find = document.getElementById("find");
const details = document.getElementById("details");
const help = document.getElementById("help");
const post = document.getElementById("post");
const status = document.getElementById("status");
let changed = false; // kind or targets that are chosen but not saved
let left = false; // a key pressed while the next page loads must not label it

function say(words) {
  status.textContent = words;
  status.classList.remove("old");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => status.classList.add("old"), 2500);
}

function show(name) {
  for (const box of document.querySelectorAll(`[data-toggle="${name}"]`)) {
    const on = root.classList.contains(name) !== "off" in box.dataset;
    if (box.type === "checkbox") box.checked = on;
    else box.setAttribute("aria-pressed", on);
  }
}

function toggle(name) {
  const on = root.classList.toggle(name);
  try { sessionStorage.setItem(name, on ? "1" : "0"); } catch {}
  if (name === "blurred") post?.classList.remove("shown");
  show(name);
}

// --- going on ---

function submit(form, button) {
  if (left) return;
  left = true;
  form.requestSubmit(button);
}

function leave(link) {
  if (left) return;
  if (!changed) { left = true; location.href = link.href; return; }
  details.elements.go.value = link.dataset.go;
  submit(details);
}

// --- kinds and target groups ---

function chooseKind(place) {
  const kinds = [...details.elements.kind];
  const kind = kinds[place];
  kinds.forEach((other) => { other.checked = other === kind; });
  changed = true;
  say(kind ? kind.value : "no kind");
}

function nextKind() {
  const kinds = [...details.elements.kind];
  chooseKind(kinds.findIndex((kind) => kind.checked) + 1);
}

function matches() {
  const typed = find.value.trim().toLowerCase();
  const chips = [...document.querySelectorAll(".chip")];
  const starts = (chip) => chip.dataset.words.startsWith(typed);
  const fits = (chip) => chip.dataset.words.toLowerCase().split(/[\s,]+/).some((word) => word.startsWith(typed));
  for (const chip of chips) chip.hidden = typed !== "" && !fits(chip);
  return typed === "" ? [] : [...chips.filter(starts), ...chips.filter((chip) => !starts(chip) && fits(chip))];
}

let chosen = 0;
function mark(step) {
  const found = matches();
  chosen = found.length ? (chosen + step + found.length) % found.length : 0;
  for (const chip of document.querySelectorAll(".chip")) chip.classList.toggle("first", chip === found[chosen]);
  if (found.length) say(found[chosen].textContent.trim());
  else if (find.value.trim()) say("no such group");
  return found[chosen];
}

function findKey(event) {
  if (event.isComposing) return;
  // No group has a digit or a question mark in its name, so these keep their meaning.
  if (/^[0-4?]$/.test(event.key)) actions[event.key]();
  else if (find.value === "" && beside(event.key)) leave(beside(event.key));
  else if (event.key === "Escape") { find.value = ""; chosen = 0; mark(0); details.focus(); }
  else if (event.key === "ArrowDown") mark(1);
  else if (event.key === "ArrowUp") mark(-1);
  else if (event.key === "Enter") takeFound();
  else return;
  event.preventDefault();
}

function takeFound() {
  if (!find.value.trim()) { submit(details); return; }
  const chip = mark(0);
  if (!chip) return;
  const box = chip.querySelector("input");
  box.checked = !box.checked;
  find.value = "";
  chosen = 0;
  mark(0);
  changed = true;
  say(`${chip.textContent.trim()}: ${box.checked ? "taken" : "taken off"}`);
}

// --- keys ---

function press(key) {
  const button = document.querySelector(`[data-press="${key}"]`);
  if (!button) return false;
  if (button.form && !button.dataset.toggle) submit(button.form, button);
  else button.click();
  return true;
}

function enter() {
  if (details) submit(details);
  else if (document.querySelector("[data-enter]")) leave(document.querySelector("[data-enter]"));
  else if (document.querySelector(".verdict[aria-pressed='true']")) leave(document.querySelector("[data-go='next']"));
  else if (post) say("Decide first: 1 is violent, 0 is not.");
}

function beside(key) {
  const way = { ArrowLeft: "previous", ArrowRight: "next" }[key];
  return way && document.querySelector(`[data-go="${way}"]`);
}

const actions = {
  "1": () => (details ? chooseKind(0) : press("v")),
  v: () => (details ? say("violent already") : press("v")),
  "0": () => press("n"),
  n: () => press("n"),
  u: () => press("u"),
  h: () => post && (press("h") || say("This review was started without highlights.")),
  b: () => press("b") || toggle("blurred"),
  k: () => details && nextKind(),
  t: () => find?.focus(),
  "?": () => help?.showModal(),
};
for (const place of [1, 2, 3]) actions[place + 1] = () => details && chooseKind(place);

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (help?.open) { if (event.key === "?") { help.close(); event.preventDefault(); } return; }
  if (event.target === find) { findKey(event); return; }
  const own = event.target.closest("a, button, input:not([type=radio]):not([type=checkbox]), pre, summary");
  const radio = event.target.matches("[type=radio]");
  const ticked = event.target.matches("input");
  if (event.key === "Enter") { if (!own) { event.preventDefault(); enter(); } return; }
  if (event.key === " ") { if (!own && !ticked && root.classList.contains("blurred") && press(" ")) event.preventDefault(); return; }
  if (beside(event.key) && !radio) { event.preventDefault(); leave(beside(event.key)); return; }
  if (root.classList.contains("nokeys")) return;
  const action = actions[event.key.toLowerCase()];
  if (action) { event.preventDefault(); action(); }
}

document.addEventListener("keydown", onKey);
document.addEventListener("submit", (event) => { if (event.target.method === "post") left = true; });
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (link?.dataset.help !== undefined && help) { event.preventDefault(); help.showModal(); }
  else if (link?.dataset.go && changed) { event.preventDefault(); leave(link); }
});
document.querySelector(".reveal")?.addEventListener("click", () => { post.classList.toggle("shown"); post.focus(); });
for (const box of document.querySelectorAll("[data-toggle]"))
  box.addEventListener(box.type === "checkbox" ? "change" : "click", () => toggle(box.dataset.toggle));
details?.addEventListener("change", (event) => { if (event.target !== find) changed = true; });
find?.addEventListener("input", () => { chosen = 0; mark(0); });
// A page that comes back from the browser's memory is as it was left, and may be out of date.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

for (const name of ["plain", "blurred", "nokeys"]) show(name);
(details ?? post)?.focus({ preventScroll: true });
details?.scrollIntoView({ block: "nearest" });
// Put in only now, so that a screen reader tells it.
if (status.dataset.message) setTimeout(() => say(status.dataset.message), 60);
