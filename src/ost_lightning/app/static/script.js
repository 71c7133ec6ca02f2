"use strict";
// Times are buttons with data-second: pressing one goes there in the player. The track follows the player.
(() => {
  const player = () => document.querySelector("#ost-video video");

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-second]");
    const video = player();
    if (!button || !video) return;
    video.currentTime = Number(button.dataset.second);
    video.scrollIntoView({ block: "nearest" });
  });

  function follow(event) {
    const video = player();
    const track = document.querySelector("#ost-timeline .ost-track");
    if (event.target !== video || !track) return;
    const share = video.currentTime / Number(track.dataset.duration);
    track.querySelector(".ost-playhead").style.left = `${100 * Math.min(1, Math.max(0, share))}%`;
    for (const segment of track.querySelectorAll(".ost-segment")) {
      const start = Number(segment.dataset.second);
      const here = start <= video.currentTime && video.currentTime < Number(segment.dataset.end);
      segment.toggleAttribute("aria-current", here);
    }
  }
  document.addEventListener("loadedmetadata", ({ target }) => {
    if (target === player()) target.setAttribute("aria-label", "Video");
  }, true);

  // events of media don't bubble
  for (const kind of ["timeupdate", "seeked"]) document.addEventListener(kind, follow, true);
})();
