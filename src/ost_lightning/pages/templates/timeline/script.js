data.duration = data.duration || 1;
const [player, track, ticks, rows] = ["player", "track", "ticks", "rows"].map(byId);
const found = [...new Set(data.segments.map((segment) => segment.label))];
const buttons = [], lines = [];
let current = -1, chosen = null;

function colored(made, label) {
  const number = found.indexOf(label);
  // neighbors in the order of the classes are far apart on the color wheel
  made.style.setProperty("--hue", String(Math.round(210 + 137.5 * number) % 360));
  made.style.setProperty("--light", `${[74, 84, 64][Math.floor(number / 8) % 3]}%`);
  return made;
}

function place(made, start, end) {
  made.style.left = `${100 * start / data.duration}%`;
  made.style.width = `${100 * (Math.min(end, data.duration) - start) / data.duration}%`;
  return made;
}

function seek(second) {
  seekPlayer(second);
  show(second);
}

function show(second) {
  playhead.style.left = `${100 * Math.min(1, second / data.duration)}%`;
  byId("clock").textContent = clock(second);
  const index = data.segments.findIndex((segment) => segment.start <= second && second < segment.end);
  const gap = data.gaps.find((entry) => entry.start <= second && second < entry.end);
  const text = index >= 0 ? data.segments[index].label : gap ? `unknown: ${gap.reason}` : "none of the classes";
  if (byId("current").textContent !== text) byId("current").replaceChildren(name(text));
  if (index === current) return;
  for (const made of [buttons[current], lines[current]]) made?.removeAttribute("aria-current");
  for (const made of [buttons[index], lines[index]]) made?.setAttribute("aria-current", "true");
  current = index;
}

function choose(label) {
  chosen = chosen === label ? null : label;
  for (const button of byId("legend").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.label === chosen));
  }
  data.segments.forEach((segment, index) => {
    const other = chosen !== null && segment.label !== chosen;
    buttons[index].classList.toggle("other", other);
    lines[index].hidden = other;
  });
}

// one tab stop for all segments; the arrow keys go from one to the next
function focusSegment(index) {
  buttons.forEach((button, k) => { button.tabIndex = k === index ? 0 : -1; });
  buttons[index].focus();
}

function addSegment(segment, index) {
  const shown = `${segment.label}, ${clock(segment.start)} to ${clock(segment.end)}, score ${segment.score.toFixed(2)}`;
  const button = element("button", {type: "button", className: "segment", title: shown}, name(segment.label));
  button.tabIndex = index ? -1 : 0;
  button.setAttribute("aria-label", shown);
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    focusSegment(index);
    seek(segment.start);
  });
  buttons.push(button);
  track.append(place(colored(button, segment.label), segment.start, segment.end));
}

function timeCell(start, end) {
  const button = element("button", {type: "button", textContent: `${clock(start)} – ${clock(end)}`});
  button.setAttribute("aria-label", `Go to ${clock(start)}`);
  button.addEventListener("click", () => seek(start));
  return element("td", {className: "time"}, button);
}

function evidenceCell(segment) {
  const cell = element("td", {className: "why"});
  if (!segment.evidence.length) return cell;
  const box = element("div", {className: "evidence"}), second = segment.evidence[0].second;
  if (segment.picture) {
    const picture = element("img", {src: segment.picture, alt: "", loading: "lazy"});
    const button = element("button", {type: "button"}, picture);
    button.setAttribute("aria-label", `Show the frame at ${clock(second)}`);
    button.addEventListener("click", () => seek(second));
    box.append(button);
  }
  const items = segment.evidence.map((entry) => element("li", {}, name(entry.sentence), " ",
    element("span", {className: "where", textContent: `${clock(entry.second)}, cosine ${entry.cosine.toFixed(3)}`})));
  box.append(element("ul", {}, ...items));
  cell.append(box);
  return cell;
}

function segmentRow(segment) {
  const swatch = colored(element("span", {className: "swatch"}), segment.label);
  const row = element("tr", {}, timeCell(segment.start, segment.end),
    element("td", {className: "label"}, swatch, " ", name(segment.label)),
    element("td", {className: "score", textContent: segment.score.toFixed(2)}), evidenceCell(segment));
  lines.push(row);
  return row;
}

function gapRow(gap) {
  return element("tr", {}, timeCell(gap.start, gap.end),
    element("td", {className: "label"}, element("span", {className: "swatch unknown"}), " unknown"),
    element("td", {className: "score"}), element("td", {className: "why"}, name(gap.reason)));
}

function addLegend() {
  for (const label of found) {
    const total = data.segments
      .filter((segment) => segment.label === label)
      .reduce((sum, segment) => sum + segment.end - segment.start, 0);
    const button = element("button", {type: "button", label},
      colored(element("span", {className: "swatch"}), label), name(label),
      element("span", {className: "length", textContent: clock(total)}));
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => choose(label));
    byId("legend").append(element("li", {}, button));
  }
}

function layOut() {
  const width = track.clientWidth;
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600]
    .find((length) => data.duration / length <= width / 75) ?? 43200;
  ticks.replaceChildren();
  for (let k = 0; k * step <= data.duration; k += 1) {
    const label = element("span", {textContent: clock(k * step, step < 1)});
    label.style.left = `${100 * k * step / data.duration}%`;
    label.classList.toggle("last", k > 0 && k * step > 0.96 * data.duration);
    ticks.append(label);
  }
  // nothing that is scrolled to, or focused, lies under the part that stays in view
  document.documentElement.style.scrollPaddingTop = `${byId("stage").offsetHeight + 8}px`;
  // a text that is cut after two letters says nothing
  buttons.forEach((button, k) => {
    const pixels = width * (data.segments[k].end - data.segments[k].start) / data.duration;
    button.classList.toggle("wide", pixels >= 8);
    button.classList.toggle("named", pixels >= 40);
    button.firstChild.hidden = pixels < 40;
  });
}

function followPlayer() {
  const follow = () => {
    show(player.currentTime);
    if (!player.paused) requestAnimationFrame(follow);
  };
  player.addEventListener("play", follow);
  for (const event of ["seeked", "timeupdate"]) player.addEventListener(event, () => show(player.currentTime));
}

const playhead = element("div", {className: "playhead"});
byId("name").append(name(data.name));
const looked = count(data.classes.length, "class", "classes");
byId("summary").textContent = data.segments.length
  ? `${count(data.segments.length, "segment", "segments")} of ${found.length} of ${looked} in ${clock(data.duration)}`
  : `None of ${looked} in ${clock(data.duration)}`;
data.segments.forEach(addSegment);
for (const gap of data.gaps) {
  track.append(place(element("div", {className: "gap", title: `unknown: ${gap.reason}`}), gap.start, gap.end));
}
track.append(playhead);
const entries = data.segments.map((segment) => [segment.start, segmentRow(segment)]);
entries.push(...data.gaps.map((gap) => [gap.start, gapRow(gap)]));
rows.append(...entries.sort((first, second) => first[0] - second[0]).map((entry) => entry[1]));
addLegend();
describe(byId("conditions"), [...data.conditions, ["classes", data.classes.join(", ")]]);
track.addEventListener("click", (event) => {
  const box = track.getBoundingClientRect();
  seek(data.duration * Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)));
});
track.addEventListener("keydown", (event) => {
  const index = buttons.indexOf(document.activeElement);
  const next = {ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: buttons.length - 1}[event.key];
  if (index < 0 || next === undefined) return;
  event.preventDefault();
  focusSegment(Math.max(0, Math.min(buttons.length - 1, next)));
});
new ResizeObserver(layOut).observe(track);
startPlayer({...data.video, name: data.name});
followPlayer();
show(0);
