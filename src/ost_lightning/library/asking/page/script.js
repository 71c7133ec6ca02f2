"use strict";
// Every text of the data reaches the page as text: there is no innerHTML here.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function name(text) {
  return element("bdi", {textContent: text});
}

function clock(second) {
  const all = Math.round(10 * second), minutes = Math.floor(all / 600), hours = Math.floor(minutes / 60);
  const start = hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}` : `${minutes}`;
  return `${start}:${String(Math.floor(all / 10) % 60).padStart(2, "0")}.${all % 10}`;
}

function screen(segment, note) {
  if (!segment.url) {
    return segment.picture
      ? element("img", {className: "blank", src: segment.picture, alt: ""})
      : element("div", {className: "blank"});
  }
  const player = element("video", {controls: true, playsInline: true, preload: "none"});
  player.setAttribute("aria-label", segment.name);
  if (segment.picture) player.poster = segment.picture;
  player.src = segment.url + (segment.end === null ? "" : `#t=${segment.start},${segment.end}`);
  // the name stays encoded: its bytes may be no text
  player.addEventListener("error", () => {
    note.textContent = `This browser can't play the video, or ${segment.url} is not there.`;
  });
  // one sound at a time
  player.addEventListener("play", () => {
    for (const other of document.querySelectorAll("video")) if (other !== player) other.pause();
  });
  return player;
}

function entry(segment, index) {
  const note = element("p", {className: "note", textContent: segment.missing});
  const about = element("div", {className: "about"});
  about.append(element("p", {className: "score", textContent: `${index + 1}. ${segment.score.toFixed(4)}`}));
  about.append(element("p", {title: segment.path}, name(segment.name)));
  if (segment.end !== null) {
    const time = `${clock(segment.start)} to ${clock(segment.end)}`;
    about.append(element("p", {className: "time", textContent: time}));
  }
  if (segment.label !== null) about.append(element("p", {className: "time"}, "label: ", name(segment.label)));
  about.append(note);
  return element("li", {}, screen(segment, note), about);
}

byId("query").append(name(data.query));
byId("summary").textContent = data.summary;
byId("segments").append(...data.segments.map(entry));
for (const [term, value] of data.conditions) {
  byId("conditions").append(element("dt", {}, name(term)), element("dd", {}, name(value)));
}
