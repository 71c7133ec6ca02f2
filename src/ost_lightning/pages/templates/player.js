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
