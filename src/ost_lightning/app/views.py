"""What the app shows, as HTML. Every name, sentence and message is escaped here: it is other people's text."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from ost_lightning.characters import one_line
from ost_lightning.library.asking import FoundSegment, FoundSegments
from ost_lightning.recognition import Explanation, Recognition
from ost_lightning.recognition.timelines import Segment, Timeline
from ost_lightning.recognition.timelines.timeline import clock
from ost_lightning.vocabulary import counted

SHOWN: Final = 10
"""Classes of a ranking."""
_SENTENCES: Final = 2
_HUES: Final = (215, 28, 160, 330, 50, 270, 100, 0)
"""Hues of classes; names stand beside the colors, so that nobody has to tell colors apart."""


def text(value: object) -> str:
    """Returns a text for HTML, on one line and without markup or control characters."""
    return html.escape(one_line(str(value)))


def notice(message: str, kind: Literal["info", "error"] = "info") -> str:
    """Returns a message; nothing for an empty one."""
    if not message:
        return ""
    role = "alert" if kind == "error" else "status"
    return f'<p class="ost-notice ost-{kind}" role="{role}">{text(message)}</p>'


def ranking(found: Recognition, before: Mapping[str, float] | None = None, heading: str = "The whole video") -> str:
    """Returns the most likely classes as bars.

    Args:
        found: Recognition of a video.
        before: Probabilities before an edit, to say how they have moved; None or empty for no edit.
        heading: Heading.
    """
    rows = []
    for name, probability in found.top(SHOWN):
        moved = ""
        if before and name in before:
            points = 100 * (probability - before[name])
            moved = f'<span class="ost-moved">{points:+.1f}</span>'
        rows.append(
            f'<li><span class="ost-name"><bdi>{text(name)}</bdi></span>'
            f'<span class="ost-bar" aria-hidden="true"><span style="width:{100 * probability:.1f}%"></span></span>'
            f'<span class="ost-share">{100 * probability:.1f} %</span>{moved}</li>'
        )
    rest = len(found.classes) - len(rows)
    more = f'<p class="ost-faint">and {counted(rest, "less likely class", "less likely classes")}</p>' if rest else ""
    key = '<p class="ost-faint">The last column says by how many points the edit has moved each.</p>' if before else ""
    return f'<section class="ost-ranking"><h2>{text(heading)}</h2><ol>{"".join(rows)}</ol>{more}{key}</section>'


def timeline(found: Timeline) -> str:
    """Returns the segments of a video on a track and in a list; pressing one goes there in the player."""
    colors = {label: _HUES[k % len(_HUES)] for k, label in enumerate(dict.fromkeys(s.label for s in found.segments))}
    track = "".join(
        f'<span class="ost-gap" style="{_place(gap.start, gap.end, found.duration)}" title="{text(gap.reason)}"></span>'
        for gap in found.gaps
    )
    track += "".join(
        f'<button type="button" class="ost-segment" tabindex="-1" '
        f'data-second="{one.start:.2f}" data-end="{one.end:.2f}" '
        f'aria-label="{text(one.label)}, {clock(one.start)} to {clock(one.end)}" '
        f'style="{_place(one.start, one.end, found.duration)};--hue:{colors[one.label]}">'
        f"<span>{text(one.label)}</span></button>"
        for one in found.segments
    )
    rows = "".join(_row(one, colors[one.label]) for one in found.segments)
    if not rows:
        rows = "<li>None of the classes was found for a while of several seconds.</li>"
    gaps = "".join(
        f"<li>{clock(gap.start)} to {clock(gap.end)}: unknown, {text(gap.reason)}</li>" for gap in found.gaps
    )
    return (
        f'<section class="ost-timeline"><h2>When</h2><div class="ost-track" data-duration="{found.duration:.3f}">'
        f'{track}<span class="ost-playhead" aria-hidden="true"></span></div>'
        f'<div class="ost-ends" aria-hidden="true"><span>0:00</span><span>{clock(found.duration)}</span></div>'
        f"<ol>{rows}{gaps}</ol>"
        '<p class="ost-faint">A class counts where it fits better than in most of this video, so something is found '
        "even in a video that shows none of the classes.</p></section>"
    )


def _place(start: float, end: float, duration: float) -> str:
    return f"left:{100 * start / duration:.3f}%;width:{100 * (end - start) / duration:.3f}%"


def _row(segment: Segment, hue: int) -> str:
    evidence = "".join(
        f"<li>{_seek(one.second)} <q>{text(one.sentence)}</q></li>" for one in segment.evidence[:_SENTENCES]
    )
    return (
        f'<li><span class="ost-swatch" style="--hue:{hue}" aria-hidden="true"></span>{_seek(segment.start)} to '
        f"{clock(segment.end)} <strong><bdi>{text(segment.label)}</bdi></strong><ul>{evidence}</ul></li>"
    )


def _seek(second: float) -> str:
    return (
        f'<button type="button" class="ost-seek" data-second="{second:.2f}" '
        f'aria-label="Go to {clock(second)}">{clock(second)}</button>'
    )


def explanation(found: Explanation, pictures: Mapping[str, str]) -> str:
    """Returns why a class was recognized: sentences in words, and pictures.

    Args:
        found: Explanation of one class.
        pictures: Pictures as data URLs, by what they show in words.
    """
    best, step = found.best, found.worst_step
    lines = [f"For it: <q>{text(best.sentence)}</q> fits best (cosine {best.cosine:.3f}), at {_when(best)}."]
    if step is not None:
        lines.append(f"Against it: <q>{text(step.sentence)}</q> is hardly seen (cosine {step.cosine:.3f}).")
    shown = "".join(
        f'<figure><figcaption>{text(title)}</figcaption><div class="ost-wide" tabindex="0">'
        f'<img src="{url}" alt="{text(title)}: {text(found.label)}"></div></figure>'
        for title, url in pictures.items()
    )
    heading = f"<h2>Why <bdi>{text(found.label)}</bdi> ({100 * found.probability:.1f} %)</h2>"
    return f'<section class="ost-why">{heading}<p>{"<br>".join(lines)}</p>{shown}</section>'


def _when(match: object) -> str:
    second = getattr(match, "second", None)
    return text(f"frame {getattr(match, 'frame', 0) + 1}") if second is None else _seek(second)


def hits(found: FoundSegments, pictures: Sequence[str | None], served: Sequence[Path]) -> str:
    """Returns the segments that a library found, each with a picture and, where it may be served, a player.

    Args:
        found: Segments.
        pictures: Data URL of a picture per segment; None where there is none.
        served: Folders whose videos may be played.
    """
    every = zip(found.segments, pictures, strict=True)
    percent = found.ranked_by == "probability"
    rows = "".join(
        f"<li>{_hit(one, f'{100 * one.score:.1f} %' if percent else f'{one.score:.3f}', picture, served)}</li>"
        for one, picture in every
    )
    summary = found.summary()
    summary = f"<h2>{text(summary[:1].upper() + summary[1:])}</h2>"
    return f'<section class="ost-hits">{summary}<ol>{rows}</ol></section>'


def _hit(found: FoundSegment, score: str, picture: str | None, served: Sequence[Path]) -> str:
    stored = found.segment
    name = text(Path(stored.video).name)
    end = stored.end
    when = "" if end is None else f"{clock(stored.start)} to {clock(end)}"
    poster = f' poster="{picture}"' if picture else ""
    if is_served(stored.video, served) and not found.moved:
        part = "" if end is None else f"#t={stored.start:.2f},{end:.2f}"
        url = f"gradio_api/file={quote(str(Path(stored.video).resolve()))}{part}"
        shown = (
            f'<video controls muted playsinline preload="none"{poster} src="{html.escape(url)}" '
            f'aria-label="{name}, {when}"></video>'
        )
        note = ""
    else:
        shown = f'<img src="{picture}" alt="{name} at {when}">' if picture else ""
        note = "The file is no longer there." if found.moved else "To play it here, start with --videos FOLDER."
    return (
        f'{shown}<p><strong><bdi>{name}</bdi></strong><br>{when} <span class="ost-faint">score {score}</span></p>'
        + (f'<p class="ost-faint">{note}</p>' if note else "")
    )


def is_served(video: str, folders: Sequence[Path]) -> bool:
    """Returns whether a video is in one of the folders that are served."""
    path = Path(video).resolve()
    return any(path.is_relative_to(folder.resolve()) for folder in folders)


def conditions(found: Mapping[str, str]) -> str:
    """Returns what scores depend on besides the video."""
    shown = ", ".join(f"{name} {value}" for name, value in found.items())
    return f'<p class="ost-faint">{text(shown)}</p>'
