"""The main entry point: recognizes videos, given weights and class labels."""

import json
from collections.abc import Iterable, Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import replace
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from ost_lightning.errors import NON_FINITE_HINT, NonFiniteError, UserError
from ost_lightning.evaluation import SHOWN_CLASSES, evaluation_clips
from ost_lightning.matching import CategoryName
from ost_lightning.models import FrameEmbeddings, Scores, constructor_settings, require_finite_weights
from ost_lightning.models.encoders import CPUPrecision, use_cpu_precision
from ost_lightning.recognition.conformal import Calibration, ConformalCalibrator, Nonconformity
from ost_lightning.recognition.embedded_clip import EmbeddedClip, embed_sentences
from ost_lightning.recognition.explanations import ExplainedVideos, is_explainable
from ost_lightning.recognition.live import LiveVideos
from ost_lightning.recognition.none_of_these import check_none_below
from ost_lightning.recognition.read_ahead import ReadVideo, read_ahead
from ost_lightning.recognition.recognition import Recognition, Unreadable
from ost_lightning.recognition.replicas import Devices, Replica, devices, share_out
from ost_lightning.recognition.timelines import LongVideos
from ost_lightning.recognition.trained_model import TrainedModel, load_trained_model
from ost_lightning.text import LabelSpace
from ost_lightning.video import UNLABELED, SampleKey, VideoRecord
from ost_lightning.video.storage import video_address
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from ost_lightning.export import ExportSettings


class Recognizer(LongVideos, LiveVideos, ExplainedVideos):
    """Recognizes actions in videos. By default, probabilities equal those of `ost predict` in fp32.

    Args:
        model: Weights, and the settings that belong to them.
        labels: Classes to choose from. If they have no descriptors, videos are compared with the class names alone
            (`CategoryName`), regardless of the model's own matcher.
        device: Device for computation; None for a GPU if available, otherwise the CPU. Of several devices, each gets a
            copy of the model, and `stream` shares the videos out among them.
        none_below: Level for "none of these"; see `load`.
        cpu_precision: Precision in which a CPU embeds frames; see `load`.

    Attributes:
        labels: Classes to choose from.
        matcher: Mechanism that scores a video against the classes.
        clips: Settings that define how a video becomes a clip.
        model: Weights with the same settings, on the device; its matcher is not used if classes have no descriptors.
        remark: What `cpu_precision` auto chose and why; empty if there was nothing to choose.

    Raises:
        UserError: If some classes have descriptors, but not as many as the matcher needs, or if weights are NaN or
            infinite.

    Examples:
        >>> from ost_lightning import Recognizer
        >>> Recognizer.load("tiny", labels=["juggling balls", "riding horse"], device="cpu")
        Recognizer('tiny', 2 classes, CategoryName, 8 frames of 48 x 48 pixels, cpu)
    """

    def __init__(
        self,
        model: TrainedModel,
        labels: LabelSpace,
        device: Devices | None = "cpu",
        none_below: float | None = None,
        cpu_precision: CPUPrecision = "fp32",
    ) -> None:
        self.device, *others = devices(device)
        self.clips = model.clips.resolved()
        self.model, self._frames = replace(model, clips=self.clips), self.clips.geometry().frames
        self._none_below = check_none_below(none_below, model.video_clip)
        self._video_clip = model.video_clip.to(self.device).eval()
        self.remark = use_cpu_precision(self._video_clip.encoder, cpu_precision, self.device)
        self._video_clip.require_trained_positions(self._frames)
        require_finite_weights(self._video_clip)
        self._checked_names: tuple[str, ...] = ()
        self._set_labels(labels)
        with torch.inference_mode():
            self._texts = self._video_clip.encode_sentences(self._video_clip.tokenize(self._sentences))
        self._replica = Replica(self._video_clip, self.matcher, self._texts, self.device)
        self._replicas = (self._replica, *map(self._replica.copy_to, others))

    def _set_labels(self, labels: LabelSpace) -> None:
        self.labels = labels
        self._calibration: Calibration | None = None
        self.matcher = (self.model.matcher if labels.descriptors else CategoryName()).to(self.device).eval()
        require_finite_weights(self.matcher)
        tokens, count = self._video_clip.token_count, self.model.descriptors_per_class
        self._sentences = self.model.templates.apply(labels, self.matcher.kinds, count, tokens)
        spelled = self.model.templates.spelling(labels)
        if spelled.names != self._checked_names:
            self._video_clip.warn_about_names(spelled)
        self._checked_names = spelled.names

    def with_labels(self, labels: LabelSpace) -> Self:
        """Returns a recognizer with other classes or descriptors; only sentences that are new are encoded.

        It has the same weights on the same devices, and no calibration.

        Args:
            labels: Classes to choose from.

        Raises:
            UserError: If some classes have descriptors, but not as many as the matcher needs.
        """
        other = copy(self)
        other._set_labels(labels)
        other._texts = embed_sentences(self._video_clip, other._sentences, self._sentences, self._texts)
        other._replica = Replica(self._video_clip, other.matcher, other._texts, self.device)
        others = (replica.with_texts(other.matcher, other._texts) for replica in self._replicas[1:])
        other._replicas = (other._replica, *others)
        return other

    @classmethod
    def load(
        cls,
        weights: str | Path,
        labels: str | Path | Sequence[str] | LabelSpace,
        device: Devices | None = None,
        scores: Scores | None = None,
        none_below: float | None = None,
        fp8: bool = False,
        cpu_precision: CPUPrecision = "fp32",
    ) -> Self:
        """Loads weights and labels.

        Args:
            weights: Hub id (`openai/clip-vit-base-patch16`), `tiny` (the CLIP of the rendered world), folder in HF
                format, checkpoint (`.ckpt`), or the folder of a run or experiment, whose newest `last.ckpt` is used.
            labels: Name of a label space (`kinetics400`), folder of a label space, or list of class names.
            device: Device for computation, or several (`cuda:0,cuda:1`); None for a GPU if available, otherwise the
                CPU.
            scores: Probabilities of classes: `softmax` distributes 1 over all of them; `sigmoid` gives each its own,
                for encoders with a logit bias such as SigLIP. None for what a run was trained with, otherwise softmax.
            none_below: Probability between 0 and 1; a video whose classes are all below it shows none of them. It needs
                `sigmoid` scores, and no labeled videos. None for no such level.
            fp8: Whether the linear layers of the vision tower compute in 8-bit floating point, which is faster on GPUs
                that have it and changes probabilities a little.
            cpu_precision: Precision in which a CPU embeds frames: `fp32`, `bf16`, or `auto` for bf16 where a
                measurement of half a second finds it faster. Probabilities change a little in bf16.

        Raises:
            UserError: If weights, labels or devices don't exist, weights and labels don't match, scores can't be
                sigmoid, or a device can't compute in fp8.
        """
        space, found = _label_space(labels), devices(device)  # first, because weights may have to be downloaded
        return cls(load_trained_model(weights, scores, found if fp8 else ()), space, found, none_below, cpu_precision)

    def __call__(self, video: str | Path | EmbeddedClip) -> Recognition:
        """Recognizes one video.

        Args:
            video: Path of a file or folder of frames, URL, or a video from `embed_clip`.

        Raises:
            UserError: If the video can't be read, was embedded with other weights or settings, or its probabilities are
                not finite.
        """
        if isinstance(video, EmbeddedClip):
            clip = self.embed_clip(video)
            read = ReadVideo(clip.video, clip.frames, "", clip.seconds)
            with torch.inference_mode():
                return self._answers(self._replica, [read], clip.embeddings[None], evidence=False)[0]
        (found,) = self.stream([video])
        if isinstance(found, Unreadable):
            raise UserError(found.reason)
        return found

    def embed_clip(self, video: str | Path | EmbeddedClip) -> EmbeddedClip:
        """Reads and embeds a video, so that recognizers with the same weights need not open it again.

        Args:
            video: Path of a file or folder of frames, or URL. A video that was embedded before is returned unchanged.

        Raises:
            UserError: If the video can't be read, or was embedded with other weights or settings.
        """
        if not isinstance(video, EmbeddedClip):
            read = self._read(video)
            if read.frames is None:
                raise UserError(read.error)
            with torch.inference_mode():
                embedded = self._replica.embed(read.frames[None])[0]
            return EmbeddedClip(read.name, read.frames, embedded, read.seconds, self._clip_digest)
        if video.digest != self._clip_digest:
            raise UserError(
                f"{video.video} was embedded with other weights or settings of clips (digest {video.digest}, this "
                f"recognizer's is {self._clip_digest}): embed it again."
            )
        return video

    def stream(
        self, videos: Iterable[str | Path], *, threads: int = 0, batch_size: int = 8, evidence: bool = False
    ) -> Iterator[Recognition | Unreadable]:
        """Recognizes many videos, and yields each result as soon as it is known, in the order of the videos.

        Videos are taken from `videos` only as far ahead as they are read, so the iterable may be endless. Results are
        those of single calls, up to rounding in the encoder's larger batches.

        Args:
            videos: Paths of files or folders of frames, or URLs.
            threads: Threads that read videos ahead; 0 reads each one when it is needed.
            batch_size: Largest number of videos that are encoded together, at least 1. Only videos that have already
                been read share a batch, so none waits for another.
            evidence: Whether results say which sentence of the most likely class fits best, and when it is seen.

        Yields:
            One result per video; an `Unreadable` for a video that can't be read.
        """
        batches = read_ahead(videos, self._read, threads, batch_size)
        workers = [partial(self._recognized, replica=replica, evidence=evidence) for replica in self._replicas]
        for results in share_out(batches, workers):
            yield from results

    def calibrate(
        self,
        labeled: Iterable[tuple[str | Path, str]],
        none: Iterable[str | Path] = (),
        nonconformity: Nonconformity = "similarity",
    ) -> Calibration:
        """Calibrates label sets with labeled videos; later recognitions have p-values and label sets.

        The videos have to be drawn like those that will be recognized, and nothing else may have been chosen with them.

        Args:
            labeled: Videos, each with the name of its class; about 100 in all, of any classes.
            none: Videos that show none of the classes.
            nonconformity: What makes a class not fit a video; see `ConformalCalibrator`.

        Returns:
            Calibration, which `use_calibration` of another recognizer with the same settings accepts.

        Raises:
            UserError: If a class is unknown, a video can't be read, or there is no labeled video.
        """
        pairs = [(video, self._index(name)) for video, name in labeled]
        found, similar = self._scores([video for video, _ in pairs])
        _, negatives = self._scores(list(none))
        scores = similar if nonconformity == "similarity" else found
        labels = [index for _, index in pairs]
        calibrator = ConformalCalibrator(nonconformity)
        calibration = calibrator.fit(scores, labels, negatives if len(negatives) else None)
        self.use_calibration(replace(calibration, conditions=self.conditions()["digest"]))
        return self._calibration or calibration

    def use_calibration(self, calibration: Calibration) -> None:
        """Uses a calibration that was computed with the same weights, sentences, matcher and clip settings.

        Raises:
            UserError: If any of them differs.
        """
        digest = self.conditions()["digest"]
        if calibration.conditions != digest:
            raise UserError(
                f"The calibration is of a recognizer with other weights, classes, descriptors or settings (digest "
                f"{calibration.conditions}, this one's is {digest}): calibrate this one."
            )
        self._calibration = calibration

    def export(self, folder: Path, formats: Sequence[str] = ("hf",), settings: "ExportSettings | None" = None) -> Path:
        """Writes a new folder for transformers or other runtimes, and returns it; see `ost_lightning.export`.

        Args:
            folder: New folder.
            formats: Some of `hf`, `torch_export`, `onnx` and `openvino`.
            settings: Precision, iterations, videos and scores; the defaults if not given.

        Raises:
            UserError: If the export is impossible, or doesn't reproduce these probabilities.
        """
        if self._video_clip.encoder.fp8:
            raise UserError("Exports have no fp8 products: load the recognizer without fp8, and export that.")
        from ost_lightning.export import ExportSource, write_export  # torch.export takes a second to import

        clip = deepcopy(self._video_clip).cpu().requires_grad_(False)
        clip.encoder.cpu_precision = "fp32"  # the formats have precisions of their own
        matcher = deepcopy(self.matcher).cpu().requires_grad_(False)
        texts = {kind: self._texts[kind].cpu().clone() for kind in self.matcher.kinds}
        source = ExportSource(clip, matcher, texts, self.labels, self.clips, self.conditions()["digest"])
        return write_export(source, Path(folder), formats, settings)

    @torch.inference_mode()
    def _scores(self, videos: Sequence[str | Path]) -> tuple[Tensor, Tensor]:
        """Probabilities and similarities of videos, each (n, K)."""
        found = [torch.empty(0, len(self.labels))], [torch.empty(0, len(self.labels))]
        for (video,) in read_ahead(videos, self._read, 0, 1):
            if video.frames is None:
                raise UserError(video.error)
            embedded = self._replica.embed(video.frames[None])
            found[0].append(self._replica.probabilities(embedded))
            found[1].append(self._replica.similarities(embedded))
        return torch.cat(found[0]), torch.cat(found[1])

    def _read(self, video: str | Path) -> ReadVideo:
        record = VideoRecord(video_address(video), UNLABELED, str(video))
        clip = evaluation_clips([record], self.clips, with_times=True)[SampleKey(0, 0)]
        if isinstance(clip, UserError):
            return ReadVideo(record.id, None, str(clip))
        reason = clip.failures[0].reason if clip.frames is None else ""
        return ReadVideo(record.id, clip.frames, reason, clip.seconds)

    @torch.inference_mode()
    def _recognized(
        self, videos: Sequence[ReadVideo], replica: Replica, *, evidence: bool
    ) -> list[Recognition | Unreadable]:
        readable = [(video, video.frames) for video in videos if video.frames is not None]
        found: Iterator[Recognition] = iter(())
        if readable:
            embedded = replica.embed(torch.stack([frames for _, frames in readable]))
            found = iter(self._answers(replica, [video for video, _ in readable], embedded, evidence=evidence))
        return [Unreadable(video.name, video.error) if video.frames is None else next(found) for video in videos]

    def _answers(
        self, replica: Replica, videos: Sequence[ReadVideo], embedded: FrameEmbeddings, *, evidence: bool
    ) -> list[Recognition]:
        """Recognitions of videos from their frame embeddings, (B, V, T, d)."""
        found = replica.probabilities(embedded)
        # only a calibration needs similarities
        similar = found if self._calibration is None else replica.similarities(embedded)
        answers = [
            self._recognition(video.name, *scores) for video, *scores in zip(videos, found, similar, strict=True)
        ]
        if not (evidence and is_explainable(self.matcher) and self._video_clip.encoder.unit_length):
            return answers
        matches = [
            self._matches(replica, embedded[k, 0], self._index(answer.label), video.seconds)
            for k, (video, answer) in enumerate(zip(videos, answers, strict=True))
        ]
        best = [max(rows, key=lambda match: match.cosine) for rows in matches]
        return [replace(answer, evidence=match) for answer, match in zip(answers, best, strict=True)]

    def _recognition(self, video: str, found: Tensor, similar: Tensor) -> Recognition:
        if not bool(found.isfinite().all()):
            raise NonFiniteError(f"{video}: its probabilities are not finite (NaN or infinity). {NON_FINITE_HINT}")
        # ties are broken as in `ost predict`, whose topk may order them in another way than a sort
        order = found.topk(min(SHOWN_CLASSES, len(found))).indices.tolist()
        order += [index for index in found.argsort(descending=True, stable=True).tolist() if index not in order]
        p_values, none = (None, None) if self._calibration is None else self._calibration.of_video(found, similar)
        return Recognition(
            video,
            tuple(self.labels.names[index] for index in order),
            tuple(float(found[index]) for index in order),
            () if p_values is None else tuple(float(p_values[index]) for index in order),
            none,
            none_below=self._none_below,
        )

    @cached_property
    def _clip_digest(self) -> str:
        settings = json.dumps([self._frame_digest, self.clips.known()], sort_keys=True)
        return blake2b(settings.encode(), digest_size=8).hexdigest()

    def conditions(self) -> dict[str, str]:
        """Returns what the probabilities depend on besides the video.

        Returns:
            Names of weights and matcher, the precision if it is not the usual one, and a digest of weights, sentences,
            matcher, precision and clip settings, 16 hexadecimal digits.
        """
        settings: dict[str, Any] = {
            "weights": self._weights_digest,
            "classes": self.labels.names,
            "sentences": dict(self._sentences.sentences),
            "matcher": constructor_settings(self.matcher),
            "temporal_head": type(self._video_clip.temporal_head).__name__,
            "pixels": [self._video_clip.preprocessing.mean, self._video_clip.preprocessing.std],
            "clips": self.clips.known(),
        }
        if parts := self._video_clip.part_settings():
            settings["parts"] = parts
        if self._video_clip.scores != "softmax":  # calibrations from before there was a choice remain valid
            settings["scores"] = self._video_clip.scores
        precision = self._video_clip.encoder.unusual_precision
        settings |= precision
        digest = blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()
        named = {"weights": self._video_clip.pretrained, "matcher": type(self.matcher).__name__, **precision}
        return {**named, "digest": digest}

    def __repr__(self) -> str:
        size, classes = self.clips.crop_size, counted(len(self.labels), "class", "classes")
        return (
            f"Recognizer({self._video_clip.pretrained!r}, {classes}, {type(self.matcher).__name__}, "
            f"{counted(self._frames, 'frame')} of {size} x {size} pixels, "
            f"{', '.join([str(self.device), *self._video_clip.encoder.unusual_precision.values()])})"
        )


def _label_space(labels: str | Path | Sequence[str] | LabelSpace) -> LabelSpace:
    if isinstance(labels, LabelSpace):
        return labels
    return LabelSpace.load(labels) if isinstance(labels, str | Path) else LabelSpace(tuple(labels))
