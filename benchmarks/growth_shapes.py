"""What grows with the number of frames, of descriptors, and with the length of a video; parts of `growth.py`."""

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import torch
from growth_measure import Work
from torch import Tensor
from torch.nn.functional import normalize

from ost_lightning.matching import Matcher, OptimalDescriptorSolver, SoftDTW, TransportProblem
from ost_lightning.matching.fixed_iterations import plan_after
from ost_lightning.recognition.timelines import (
    EmbeddedVideo,
    StretchDecoder,
    StretchScores,
    ThresholdDecoder,
    TimelineDecoder,
    TransportDecoder,
    ViterbiDecoder,
    stretch_scores,
)

VIDEOS, CLASSES, WIDTH = 16, 50, 256


def embeddings(*shape: int, seed: int = 0) -> Tensor:
    """Unit vectors with a common direction: cosines between 0 and 0.5, as in CLIP."""
    drawn = torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed))
    return normalize(drawn + 0.6, dim=-1)


def matched(matcher: Matcher, frames: int, descriptors: int) -> Work:
    videos = embeddings(VIDEOS, frames)
    texts = [embeddings(CLASSES, descriptors, seed=seed) for seed, _ in enumerate(matcher.kinds, 1)]
    return lambda: matcher.eval()(videos, *texts)


def fixed(frames: int, descriptors: int) -> Work:
    """Forty iterations of every problem, as in an exported graph."""
    cosines = torch.einsum("btd,knd->bktn", embeddings(VIDEOS, frames), embeddings(CLASSES, descriptors, seed=1))
    return lambda: plan_after(40, cosines)


def stored(frames: int, descriptors: int) -> Work:
    """Copies of 1,000 embedded videos, as a cache holds them."""
    videos = embeddings(frames).expand(1000, -1, -1)
    return lambda: videos.clone()


SOLVED = {
    "balanced": OptimalDescriptorSolver,
    "order prior": lambda: OptimalDescriptorSolver(temporal=TransportProblem(order_sigma=0.2)),
    "relaxed": lambda: OptimalDescriptorSolver(spatio=TransportProblem(descriptor_rho=0.3)),
    "partial": lambda: OptimalDescriptorSolver(spatio=TransportProblem(mass=0.8)),
    "soft DTW": SoftDTW,
}
SHAPED: dict[str, Callable[[int, int], Work]] = {
    **{
        name: lambda frames, descriptors, make=make: matched(make(), frames, descriptors)
        for name, make in SOLVED.items()
    },
    "fixed iterations": fixed,
}
FRAMES = {
    name: lambda size, folder, make=make: make(size, 4)
    for name, make in {**SHAPED, "1,000 embedded videos": stored}.items()
}
DESCRIPTORS = {name: lambda size, folder, make=make: make(32, size) for name, make in SHAPED.items()}


def timeline(minutes: int, folder: Path, decoder: TimelineDecoder) -> Work:
    """Decoding of the evidence of ten classes that take turns, at four steps per second."""
    scores = evidence(minutes)
    return lambda: decoder.decode(scores)


@lru_cache(1)
def evidence(minutes: int) -> StretchScores:
    return scored(minutes)


def scored(minutes: int) -> StretchScores:
    """Evidence of the stretches of a video, by transport; in the default nine lengths."""
    steps = 240 * minutes
    classes = embeddings(10, 4, seed=1)
    frames = normalize(embeddings(steps) + classes[torch.arange(steps) // 20 % 10].mean(1), dim=-1)
    video = EmbeddedVideo("video", 60.0 * minutes, 4.0, frames, torch.arange(steps), "")
    return stretch_scores(video, {"spatio": classes, "temporal": classes}, [f"class {k}" for k in range(10)])


MINUTES = {
    "scoring stretches": lambda minutes, folder: partial(scored, minutes),
    **{
        type(decoder).__name__: partial(timeline, decoder=decoder)
        for decoder in (StretchDecoder(), ThresholdDecoder(), ViterbiDecoder(), TransportDecoder())
    },
}
