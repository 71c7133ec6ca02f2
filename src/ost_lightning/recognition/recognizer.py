"""The main entry point: recognizes videos, given weights and class labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch

from ost_lightning.errors import NonFiniteError, UserError
from ost_lightning.evaluation import NON_FINITE_HINT, SHOWN_CLASSES, evaluation_clips, probabilities
from ost_lightning.matching import CategoryName
from ost_lightning.models import require_finite_weights
from ost_lightning.recognition.recognition import Recognition
from ost_lightning.recognition.trained_model import TrainedModel, load_trained_model
from ost_lightning.text import LabelSpace
from ost_lightning.video import UNLABELED, SampleKey, VideoRecord


class Recognizer:
    """Recognizes actions in videos. Probabilities equal those of `ost predict` in full precision (fp32).

    Args:
        model: Weights, and the settings that belong to them.
        labels: Classes to choose from. If they have no descriptors, videos are compared with the class names alone
            (`CategoryName`), regardless of the model's own matcher.
        device: Device for computation.

    Attributes:
        labels: Classes to choose from.
        matcher: Mechanism that scores a video against the classes.
        clips: Settings that define how a video becomes a clip.

    Raises:
        UserError: If some classes have descriptors, but not as many as the matcher needs, or if weights are NaN or
            infinite.

    Examples:
        >>> from ost_lightning import Recognizer
        >>> Recognizer.load("tiny", labels=["juggling balls", "riding horse"], device="cpu")
        Recognizer('tiny', 2 classes, CategoryName, 8 frames of 48 x 48 pixels, cpu)
    """

    def __init__(self, model: TrainedModel, labels: LabelSpace, device: torch.device | str = "cpu") -> None:
        self.labels, self.clips, self.device = labels, model.clips.resolved(), torch.device(device)
        self._video_clip = model.video_clip.to(self.device).eval()
        self._video_clip.require_trained_positions(self.clips.geometry().frames)
        self.matcher = (model.matcher if labels.descriptors else CategoryName()).to(self.device).eval()
        for module in (self._video_clip, self.matcher):
            require_finite_weights(module)
        sentences = model.templates.apply(labels, self.matcher.kinds, model.descriptors_per_class)
        self._video_clip.warn_about_names(model.templates.spelling(labels))
        with torch.inference_mode():
            self._texts = self._video_clip.encode_sentences(self._video_clip.tokenize(sentences))

    @classmethod
    def load(
        cls,
        weights: str | Path,
        labels: str | Path | Sequence[str] | LabelSpace,
        device: torch.device | str | None = None,
    ) -> Self:
        """Loads weights and labels.

        Args:
            weights: Hub id (`openai/clip-vit-base-patch16`), `tiny` (the CLIP of the rendered world), folder in HF
                format, checkpoint (`.ckpt`), or the folder of a run or experiment, whose newest `last.ckpt` is used.
            labels: Name of a label space (`kinetics400`), folder of a label space, or list of class names.
            device: Device for computation; None for a GPU if available, otherwise the CPU.

        Raises:
            UserError: If weights or labels don't exist, or don't match.
        """
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        space = _label_space(labels)  # first, because weights may have to be downloaded
        return cls(load_trained_model(weights), space, device)

    @torch.inference_mode()
    def __call__(self, video: str | Path) -> Recognition:
        """Recognizes one video.

        Args:
            video: Path of a file or folder of frames, or URL.

        Raises:
            UserError: If the video can't be read, or its probabilities are not finite.
        """
        record = VideoRecord(video if isinstance(video, str) and "://" in video else Path(video), UNLABELED, str(video))
        clip = evaluation_clips([record], self.clips)[SampleKey(0, 0)]
        if isinstance(clip, UserError):
            raise clip
        if clip.frames is None:
            raise UserError(clip.failures[0].reason)
        # the views are the batch of the encoder; the matcher gets a batch of one video
        embedded = self._video_clip.encode_frames(clip.frames.to(self.device))
        found = probabilities(self._video_clip, self.matcher, self._texts, embedded[None])[0].cpu()
        if not bool(found.isfinite().all()):
            raise NonFiniteError(f"{video}: its probabilities are not finite (NaN or infinity). {NON_FINITE_HINT}")
        # ties are broken as in `ost predict`, whose topk may order them in another way than a sort
        order = found.topk(min(SHOWN_CLASSES, len(found))).indices.tolist()
        order += [index for index in found.argsort(descending=True, stable=True).tolist() if index not in order]
        return Recognition(
            str(video),
            tuple(self.labels.names[index] for index in order),
            tuple(float(found[index]) for index in order),
        )

    def __repr__(self) -> str:
        size = self.clips.crop_size
        return (
            f"Recognizer({self._video_clip.pretrained!r}, {len(self.labels)} classes, {type(self.matcher).__name__}, "
            f"{self.clips.frames} frames of {size} x {size} pixels, {self.device})"
        )


def _label_space(labels: str | Path | Sequence[str] | LabelSpace) -> LabelSpace:
    if isinstance(labels, LabelSpace):
        return labels
    return LabelSpace.load(labels) if isinstance(labels, str | Path) else LabelSpace(tuple(labels))
