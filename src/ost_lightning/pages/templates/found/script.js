function entry(segment, index) {
  const note = element("p", {className: "note", textContent: segment.missing});
  const about = element("div", {className: "about"});
  const score = `${index + 1}. ${data.ranked_by} ${segment.score.toFixed(4)}`;
  about.append(element("p", {className: "score", textContent: score}));
  about.append(element("p", {title: segment.path}, name(segment.name)));
  if (segment.end !== null) {
    const time = `${clock(segment.start)} to ${clock(segment.end)}`;
    about.append(element("p", {className: "time", textContent: time}));
  }
  if (segment.label !== null) about.append(element("p", {className: "time"}, "label: ", name(segment.label)));
  about.append(note);
  return element("li", {}, screen(segment, (text) => { note.textContent = text; }), about);
}

byId("query").append(name(data.query));
byId("summary").textContent = data.summary;
byId("segments").append(...data.segments.map(entry));
describe(byId("conditions"), data.conditions);
