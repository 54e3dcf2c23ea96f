"use strict";
// Everything can be read without this: it only hides what does not match.
const form = document.getElementById("search");
const query = document.getElementById("query");
const found = document.getElementById("found");
const SHOWN = 50;
let items = null;

function read() {
  items = Array.from(document.querySelectorAll("[data-search]"), (element) => {
    const paths = element.querySelector("pre.paths");
    return {
      element,
      text: element.textContent.toLowerCase(),
      paths: paths ? paths.textContent.split("\n") : [],
      hits: null,
    };
  });
}

function show(item, matches, wanted) {
  item.element.hidden = !matches;
  if (item.hits) {
    item.hits.remove();
    item.hits = null;
  }
  const hits = matches && wanted ? item.paths.filter((p) => p.toLowerCase().includes(wanted)) : [];
  if (hits.length) {
    const rest = hits.length - SHOWN;
    item.hits = document.createElement("pre");
    item.hits.className = "hits";
    item.hits.textContent =
      hits.slice(0, SHOWN).join("\n") + (rest > 0 ? `\nand ${rest} more` : "");
    item.element.append(item.hits);
  }
  return hits.length;
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function filter() {
  if (items === null) read();
  const wanted = query.value.trim().toLowerCase();
  let rows = 0;
  let paths = 0;
  for (const item of items) {
    const matches = !wanted || item.text.includes(wanted);
    rows += matches ? 1 : 0;
    paths += show(item, matches, wanted);
  }
  for (const section of document.querySelectorAll("main section")) {
    const any = section.querySelector("[data-search]");
    section.hidden = Boolean(wanted) && !(any && section.querySelector("[data-search]:not([hidden])"));
  }
  for (const rest of document.querySelectorAll("details.rest")) {
    const any = rest.querySelector("[data-search]:not([hidden])");
    if (wanted && any) rest.open = true;
    rest.hidden = Boolean(wanted) && !any;
  }
  found.textContent = wanted ? `${count(rows, "line")}, ${count(paths, "removed path")}` : "";
}

let waiting = 0;
query.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(filter, 80);
});
form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== query) {
    event.preventDefault();
    query.focus();
  } else if (event.key === "Escape" && document.activeElement === query) {
    query.value = "";
    filter();
  }
});
// A box of the treemap leads to its package: the browser opens what it lies in, this itself.
window.addEventListener("hashchange", () => {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
});
// Paper has no folds. What each package holds stays folded: it would be hundreds of pages.
window.addEventListener("beforeprint", () => {
  for (const rest of document.querySelectorAll("details.rest")) rest.open = true;
});
form.hidden = false;
