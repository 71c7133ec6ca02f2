document.querySelectorAll("button.play").forEach((button, index) => {
  button.addEventListener("click", () => {
    const note = button.parentElement.querySelector(".note");
    const video = {...data.videos[index], picture: button.firstElementChild.src};
    const player = screen(video, (text) => { note.textContent = text; });
    button.replaceWith(player);
    player.focus();
    player.play().catch(() => {}); // the error is told by its event
  });
});

// a table of hundreds of classes can be searched
for (const table of document.querySelectorAll("table.full")) {
  const field = element("input", {type: "search", placeholder: "Search for a class"});
  field.setAttribute("aria-label", "Search for a class");
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
  });
  table.before(field);
}
