"""One graph from frames to probabilities: vision tower, temporal head, frozen sentence embeddings and matcher."""

import gc
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.matching import Matcher
from ost_lightning.matching.fixed_iterations import FixedIterationSolver, traceable
from ost_lightning.models import DescriptorEmbeddings, VideoCLIP
from ost_lightning.text import LabelSpace

INPUT: Final = "frames"
OUTPUT: Final = "probabilities"
_LARGEST_BATCH: Final = 4096
_MOST_FRAMES: Final = 1024


@dataclass(frozen=True, slots=True)
class ExportSource:
    """What an export is made of.

    Attributes:
        video_clip: Encoder with its weights, on the CPU and in evaluation mode.
        matcher: Mechanism that scores a video against the classes.
        texts: Sentence embeddings, kind -> (K, N, d).
        labels: Classes.
        clips: Settings that define how a video becomes a clip, all of them set.
        digest: Digest of everything that probabilities depend on besides the video.
    """

    video_clip: VideoCLIP
    matcher: Matcher
    texts: DescriptorEmbeddings
    labels: LabelSpace
    clips: ClipSettings
    digest: str


class RecognitionGraph(nn.Module):
    """Maps the frames of clips to class probabilities, by the computation of the suite in a form that can be traced.

    Args:
        source: Model, classes and settings.
        iterations: Number of Sinkhorn's iterations; None for the matcher's, but at most a default.

    Raises:
        UserError: If encoder or matcher has no such form; it names it.

    Attributes:
        embedder: First part, from frames to embeddings.
        matching: Second part, from embeddings to probabilities.
    """

    def __init__(self, source: ExportSource, iterations: int | None = None) -> None:
        super().__init__()
        encoder = source.video_clip.encoder
        if encoder.adapt_matcher(source.matcher) is not source.matcher:
            raise UserError(
                f"{type(encoder).__name__} can't be written as a graph with frozen descriptors, because its texts "
                "depend on the video: only the format hf is possible."
            )
        if iterations is not None and iterations < 1:
            raise UserError(f"The number of iterations is {iterations}: expected at least 1.")
        video_clip = _without_text_tower(source.video_clip)
        self.embedder = FrameEmbedder(video_clip)
        self.matching = EmbeddingMatching(video_clip, traceable(source.matcher, iterations), source.texts)

    @property
    def iterations(self) -> int | None:
        """Number of Sinkhorn's iterations; None if the matcher has none."""
        matcher = self.matching.matcher
        return matcher.max_iterations if isinstance(matcher, FixedIterationSolver) else None

    def forward(self, frames: Tensor) -> Tensor:
        """Maps uint8 frames (B, T, 3, S, S) to fp32 probabilities (B, K)."""
        probabilities: Tensor = self.matching(self.embedder(frames))
        return probabilities


class FrameEmbedder(nn.Module):
    """Maps the frames of clips to embeddings: vision tower and temporal head.

    Args:
        video_clip: Model without text tower.
    """

    def __init__(self, video_clip: VideoCLIP) -> None:
        super().__init__()
        self.video_clip = video_clip

    def forward(self, frames: Tensor) -> Tensor:
        """Maps uint8 frames (B, T, 3, S, S) to fp32 embeddings (B, T, d)."""
        return self.video_clip.encode_frames(frames)


class EmbeddingMatching(nn.Module):
    """Maps the embeddings of frames to class probabilities: sentence embeddings, matcher, logits.

    Args:
        video_clip: Model without text tower.
        matcher: Matcher in a form that can be traced.
        texts: Sentence embeddings, kind -> (K, N, d).
    """

    def __init__(self, video_clip: VideoCLIP, matcher: Matcher, texts: DescriptorEmbeddings) -> None:
        super().__init__()
        self.video_clip, self.matcher = video_clip, matcher
        for kind in matcher.kinds:
            self.register_buffer(f"texts_{kind}", texts[kind].clone())

    def forward(self, embeddings: Tensor) -> Tensor:
        """Maps embeddings (B, T, d) to fp32 probabilities (B, K)."""
        texts = (self.get_buffer(f"texts_{kind}") for kind in self.matcher.kinds)
        return self.video_clip.class_probabilities(self.matcher(embeddings, *texts))


def _without_text_tower(video_clip: VideoCLIP) -> VideoCLIP:
    """Returns a copy that shares the weights but has no text tower, which a graph would store without using it."""
    shared = {id(weight): weight for weight in (*video_clip.parameters(), *video_clip.buffers())}
    copied = deepcopy(video_clip, shared)
    unused = copied.text_modules
    for name in [name for name, module in copied.named_modules() if any(module is part for part in unused)]:
        copied.set_submodule(name, nn.Identity())
    return copied


def trace(graph: RecognitionGraph, frames: int) -> ExportedProgram:
    """Traces a graph for any number of clips and frames.

    Args:
        graph: Graph in evaluation mode.
        frames: T, number of frames of the example; the only possible number if there are weights for certain frames.

    Raises:
        UserError: If PyTorch can't trace the model.
    """
    return _trace(graph, *_example(graph, frames))


def trace_parts(graph: RecognitionGraph, frames: int) -> tuple[ExportedProgram, ExportedProgram]:
    """Traces both parts of a graph, so that each can have a precision of its own; see `trace`."""
    example, dims = _example(graph, frames)
    embedder = _trace(graph.embedder, example, dims)
    with torch.no_grad():
        embeddings = graph.embedder(example)
    if embeddings.shape[1] != example.shape[1]:
        dims = {0: dims[0]}  # the head pools
    return embedder, _trace(graph.matching, embeddings, dims)


def _example(graph: RecognitionGraph, frames: int) -> tuple[Tensor, dict[int, Any]]:
    """Returns frames to trace a graph with, and those of their dimensions that may differ."""
    video_clip = graph.embedder.video_clip
    size, fixed = video_clip.image_size, video_clip.fixes_frames
    dims = {0: Dim("batch", min=1, max=_LARGEST_BATCH)}
    if not fixed:
        dims[1] = Dim("frames", min=1, max=_MOST_FRAMES)
    return torch.zeros(2, frames if fixed else max(frames, 2), 3, size, size, dtype=torch.uint8), dims


def _trace(
    module: RecognitionGraph | FrameEmbedder | EmbeddingMatching, example: Tensor, dims: dict[int, Any]
) -> ExportedProgram:
    try:
        with torch.no_grad():
            program = export(module, (example,), dynamic_shapes=(dims,), strict=False)
    except (
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
        torch._dynamo.exc.UserError,
    ) as error:
        video_clip = (module.embedder if isinstance(module, RecognitionGraph) else module).video_clip
        name, head = type(video_clip.encoder).__name__, video_clip.temporal_head
        parts = name if head is None else f"{name} with the head {type(head).__name__}"
        raise UserError(
            f"{parts} can't be traced by torch.export ({' '.join(str(error).split())[:300]}): only the format hf is "
            "possible."
        ) from error
    finally:
        gc.collect()  # until then, the tracer's proxies are subclasses of the modules, under the same names
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths on this machine
    return program
