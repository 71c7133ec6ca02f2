// Gives a player its video: the content of a file, or a URL from the page's folder. `say` tells why it can't be played.
function load(player, video, say) {
  player.setAttribute("aria-label", video.name);
  if (video.content) {
    const bytes = Uint8Array.from(atob(video.content), (character) => character.charCodeAt(0));
    player.preload = "auto";
    player.src = URL.createObjectURL(new Blob([bytes], {type: video.type}));
    video.content = null;
  } else {
    player.src = video.url + (video.end === null || video.end === undefined ? "" : `#t=${video.start},${video.end}`);
  }
  player.addEventListener("error", () => {
    // the name stays encoded: its bytes may be no text
    say(`This browser can't play the video${video.url ? `, or ${video.url} is not there` : ""}.`);
  });
  // one sound at a time
  player.addEventListener("play", () => {
    for (const other of document.querySelectorAll("video")) if (other !== player) other.pause();
  });
}

// What is shown of a part of a video: a player, its picture alone, or nothing.
function screen(video, say) {
  if (!video.url) {
    return video.picture
      ? element("img", {className: "blank", src: video.picture, alt: ""})
      : element("div", {className: "blank"});
  }
  const player = element("video", {controls: true, playsInline: true, preload: "none"});
  if (video.picture) player.poster = video.picture;
  load(player, video, say);
  return player;
}

// The pages of one video have one player, and a notice that says why it can't play.
function say(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = false;
}

function startPlayer(video) {
  if (video.missing) {
    say(video.missing);
    return;
  }
  const player = byId("player");
  player.hidden = false;
  load(player, video, (text) => {
    player.hidden = true;
    say(text);
  });
}

function seekPlayer(second) {
  const player = byId("player");
  if (!player.hidden) player.currentTime = Math.max(0, Math.min(second, player.duration || second));
}

// Where nothing else uses them, the space bar plays, and arrow keys go a second back or forth, with Shift ten seconds.
addEventListener("keydown", (event) => {
  const player = byId("player");
  if (!player || player.hidden || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, video, .scroll")) return; // a player and what scrolls have keys of their own
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (step) seekPlayer(player.currentTime + step * (event.shiftKey ? 10 : 1));
  else if (event.key !== " " || event.target.closest("button, summary")) return;
  else if (player.paused) player.play().catch(() => {}); // the error is told by its event
  else player.pause();
  event.preventDefault();
});
