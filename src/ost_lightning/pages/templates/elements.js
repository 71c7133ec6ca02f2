"use strict";
// Every text of the data reaches the page as text: there is no innerHTML here.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function name(text) {
  return element("bdi", {textContent: text});
}

function clock(second, tenths = true) {
  const all = Math.round(10 * second), minutes = Math.floor(all / 600), hours = Math.floor(minutes / 60);
  const start = hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}` : `${minutes}`;
  const seconds = String(Math.floor(all / 10) % 60).padStart(2, "0");
  return `${start}:${seconds}${tenths ? `.${all % 10}` : ""}`;
}

function describe(list, entries) {
  for (const [term, value] of entries) list.append(element("dt", {}, name(term)), element("dd", {}, name(value)));
}

// what is folded away belongs on paper too, but for tables of hundreds of rows
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details:not(.long)")) folded.open = true;
});
