const stage = byId("screen");
let sought = false;

startPlayer(data.video);
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-second]");
  if (!button) return;
  sought = true;
  seekPlayer(Number(button.dataset.second));
  stage.classList.toggle("away", stage.getBoundingClientRect().bottom < 0);
});
// the place of the player keeps its height while the player is in the corner
new IntersectionObserver(([entry]) => {
  if (entry.isIntersecting) stage.style.height = "";
  else stage.style.height = `${stage.offsetHeight}px`;
  stage.classList.toggle("away", sought && !entry.isIntersecting);
}).observe(stage);
