"""Timelines for the tests of files: an ordinary one, and one with names that try to break out of their format."""

from ost_lightning.recognition.timelines import Evidence, Gap, Segment, Timeline

HOSTILE = (
    "</script><script>document.title='broken'</script>",
    "00:00:01.000 --> 00:00:02.000",
    "<b>bold</b> & {\\an8}top",
    "say \"x\" and 'y'\nthen\r\n\r\nz",
    "left \u202etfel\u2066 \u2028 line",
    '=HYPERLINK("http://x")',
    "\x00\x1b[31m bell\x07",
    "رمي السهام",
    "$x^2$ {{data}} $data",
)


def ordinary(video: str = "match.mp4") -> Timeline:
    """A timeline of 60 s with two segments, one of which has evidence, candidates and a gap."""
    evidence = (
        Evidence("a video of a drawn bow.", "spatio", 3.25, 0.31),
        Evidence("first, the arrow is nocked.", "temporal", 2.5, 0.27),
    )
    first = Segment(2.0, 6.5, "archery", 0.31, evidence)
    second = Segment(61.5 - 20, 50.0004, "surfing", 0.29)
    return Timeline(
        video,
        60.0,
        ("archery", "surfing", "juggling"),
        (first, second),
        (first, second, Segment(2.5, 6.0, "juggling", 0.1)),
        (Gap(10.0, 11.5, "the connection was lost"),),
        {"weights": "tiny", "digest": "00ff", "level": 0.25},
    )


def hostile(video: str = "a 'b' & <c>.mp4") -> Timeline:
    """A timeline with the names of `HOSTILE`, two seconds each, whose sentences and gap are as bad."""
    segments = tuple(
        Segment(2.0 * k, 2.0 * k + 1.5, name, 0.5, (Evidence(name, "temporal", 2.0 * k + 0.5, 0.2),))
        for k, name in enumerate(HOSTILE)
    )
    gap = Gap(2.0 * len(HOSTILE), 2.0 * len(HOSTILE) + 1, HOSTILE[0])
    return Timeline(video, 30.0, HOSTILE, segments, segments, (gap,), {"weights": HOSTILE[0]})


def empty(video: str = "empty.mp4") -> Timeline:
    """A timeline that shows none of its classes."""
    return Timeline(video, 12.0, ("archery",), ())
