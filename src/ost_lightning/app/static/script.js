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
    if (target !== player()) return;
    target.setAttribute("aria-label", "Video");
    target.tabIndex = 0;
  }, true);

  // Gradio's player has no keys for seeking. On it, and where nothing else uses them, the space bar plays, and arrow
  // keys go a second back or forth, with Shift ten seconds.
  document.addEventListener("keydown", (event) => {
    const video = player();
    const { target, key } = event;
    if (!video || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const button = target.closest(".ost-seek, .ost-segment");
    if (target !== video && target !== document.body && !button) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (step) {
      const second = video.currentTime + step * (event.shiftKey ? 10 : 1);
      video.currentTime = Math.max(0, Math.min(second, video.duration || second));
    } else if (key !== " " || button) return;
    else if (video.paused) video.play().catch(() => {}); // the player shows that it can't
    else video.pause();
    event.preventDefault();
  });

  // events of media don't bubble
  for (const kind of ["timeupdate", "seeked"]) document.addEventListener(kind, follow, true);
})();
