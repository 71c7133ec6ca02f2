"""What one person does in the app: a video, classes and their sentences, and what was computed from them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock, RLock
from typing import Final

from ost_lightning.app.state.class_names import ClassNames, read_class_names, with_descriptors
from ost_lightning.app.state.models import Models
from ost_lightning.app.state.sentence_table import edited, table_rows
from ost_lightning.app.state.uploads import check_video, video_name
from ost_lightning.errors import UserError
from ost_lightning.recognition import EmbeddedClip, Explanation, Recognition, Recognizer
from ost_lightning.recognition.timelines import EmbeddedVideo, Timeline
from ost_lightning.text import LabelSpace

PART_SECONDS: Final = 600.0
"""Length of the part of a video that one timeline looks at, which bounds its time however long the video is."""
_WARNINGS: Final = Lock()
"""Lock for catching warnings, which Python does for all threads together."""


@dataclass(slots=True, eq=False)
class Session:
    """State of one person's page. Videos are embedded once per set of weights, sentences once.

    Args:
        models: Weights that are offered.
        max_upload: Largest size of a video in bytes.

    Attributes:
        video: Video that is asked about; None before there is one.
        labels: Classes to choose from; None before there are any.
        before: Probabilities by class before the last edit; empty if there was none.
        duration: Length of the video in seconds.
        notes: Warnings about the classes, such as sentences that are too long for the encoder.
    """

    models: Models
    max_upload: int
    video: Path | None = None
    labels: LabelSpace | None = None
    before: dict[str, float] = field(default_factory=dict)
    duration: float = 0.0
    notes: list[str] = field(default_factory=list)
    _known: LabelSpace | None = None
    _chosen: LabelSpace | None = None
    _recognizers: dict[str, Recognizer] = field(default_factory=dict)
    _found: dict[str, Recognition] = field(default_factory=dict)
    _clips: dict[str, EmbeddedClip] = field(default_factory=dict)
    _parts: dict[tuple[str, float], EmbeddedVideo] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    def open(self, video: Path | None) -> None:
        """Takes another video; what was computed about the last one is forgotten.

        Raises:
            UserError: If it is too large, or no readable video.
        """
        with self._lock:
            if video == self.video:
                return
            self.video = None
            self._clips.clear()
            self._parts.clear()
            self._found.clear()
            self.before = {}
            if video is not None:
                self.duration = check_video(video, self.max_upload)
                self.video = video

    def choose(self, space: LabelSpace) -> None:
        """Takes the classes and sentences of a label space."""
        with self._lock:
            self._known = self._chosen = space
            self._set(space)

    def type_classes(self, text: str) -> ClassNames:
        """Takes class names as a person wrote them; sentences of classes that had some are kept.

        Raises:
            UserError: If there are no classes, or too many.
        """
        with self._lock:
            found = read_class_names(text, self._known)
            if self.labels is None or found.names != self.labels.names:
                self._set(with_descriptors(found.names, self._known))
            return found

    def describe(self, described: LabelSpace) -> None:
        """Takes sentences that an LLM wrote; edited ones are replaced."""
        with self._lock:
            self._know(described)
            self._set(described)

    def loaded(self) -> LabelSpace:
        """Returns the classes with the sentences of their label space, before any edit.

        Raises:
            UserError: If there is no label space, or it doesn't have all of the classes.
        """
        labels = with_descriptors(self.required_labels().names, self._chosen)
        if not labels.descriptors:
            raise UserError("The classes are not those of a label space with sentences: choose one in Recognize.")
        return labels

    def undescribed(self) -> list[str]:
        """Returns the names of classes for which no sentences are known."""
        known = {} if self._known is None else self._known.descriptors
        return [] if self.labels is None else [name for name in self.labels.names if name not in known]

    def rows(self, name: str, weights: str) -> list[list[str]]:
        """Returns the table of a class's sentences; see `table_rows`."""
        return table_rows(self.required_labels(), name, self.models.sentences_per_kind(weights))

    def edit(self, name: str, rows: Sequence[Sequence[object]], weights: str) -> bool:
        """Takes the sentences of a class as a person wrote them.

        Returns:
            Whether anything changed.

        Raises:
            UserError: If rows are missing, empty or too long.
        """
        with self._lock:
            labels, count = self.required_labels(), self.models.sentences_per_kind(weights)
            if [list(row) for row in rows] == table_rows(labels, name, count):
                return False
            new = edited(labels, name, rows, count)
            if self.video is not None:
                found = self._found.get(weights) or self.recognize(weights)
                self.before = dict(zip(found.classes, found.probabilities, strict=True))
            self._know(new)
            self.labels = new
            self._found.clear()
            return True

    def recognizer(self, weights: str, labels: LabelSpace | None = None) -> Recognizer:
        """Returns the recognizer of some weights for the session's classes.

        Args:
            weights: Name of the weights.
            labels: Classes; None for those of the session.

        Raises:
            UserError: If there are no classes, or the model needs more sentences of each.
        """
        with self._lock:
            # the last one knows most of the sentences already
            found = self._recognizers.get(weights) or self.models.of(weights)
            wanted = self.required_labels() if labels is None else labels
            if found.labels is not wanted:
                found = self._labeled(found, wanted)
            if labels is None:
                self._recognizers[weights] = found
                self.models.share(weights, found)
            return found

    def recognize(self, weights: str, labels: LabelSpace | None = None) -> Recognition:
        """Recognizes the video; it is read and embedded once per set of weights.

        Raises:
            UserError: If there is no video, or no class.
        """
        recognizer = self.recognizer(weights, labels)
        found = replace(recognizer(self._clip(weights)), video=self.name)
        if labels is None:
            self._found[weights] = found
        return found

    def timeline(self, weights: str, start: float = 0.0) -> Timeline:
        """Finds what happens when, in `PART_SECONDS` of the video from a time on; the rest is a gap.

        Args:
            weights: Name of the weights.
            start: Beginning of the part in seconds.

        Raises:
            UserError: If there is no video or class, or the encoder relates the frames of a clip.
        """
        with self._lock:
            recognizer, video = self.recognizer(weights), self.required_video()
            if (weights, start) not in self._parts:
                # one part is kept: a session must not grow with every part of a long video
                self._parts = {key: part for key, part in self._parts.items() if key[0] != weights}
                self._parts[weights, start] = recognizer.embed(video, part=(start, start + PART_SECONDS))
            return replace(recognizer.timeline(self._parts[weights, start]), video=self.name)

    def explain(self, weights: str, name: str | None = None) -> tuple[Recognizer, Explanation]:
        """Explains the most likely class, or another one.

        Returns:
            The recognizer, which draws attention maps, and the explanation.

        Raises:
            UserError: If there is no video or class, or the model can't be explained.
        """
        recognizer = self.recognizer(weights)
        found = recognizer.explain(self._clip(weights), None if name is None else [name])
        return recognizer, found[0]

    @property
    def name(self) -> str:
        """Name of the video without its folder."""
        return "" if self.video is None else video_name(self.video)

    def required_video(self) -> Path:
        """Returns the video.

        Raises:
            UserError: If there is none.
        """
        if self.video is None:
            raise UserError("There is no video yet: drop one, or choose an example.")
        return self.video

    def required_labels(self) -> LabelSpace:
        """Returns the classes.

        Raises:
            UserError: If there are none.
        """
        if self.labels is None:
            raise UserError("There are no classes yet: type some, or choose a label space.")
        return self.labels

    def _clip(self, weights: str) -> EmbeddedClip:
        with self._lock:
            video = self.required_video()
            if weights not in self._clips:
                self._clips[weights] = self.models.of(weights).embed_clip(video)
            return self._clips[weights]

    def _set(self, labels: LabelSpace) -> None:
        self.labels, self.before = labels, {}
        self._found.clear()

    def _know(self, labels: LabelSpace) -> None:
        old = {} if self._known is None else self._known.descriptors
        self._known = replace(labels, descriptors={**old, **labels.descriptors})

    def _labeled(self, recognizer: Recognizer, labels: LabelSpace) -> Recognizer:
        with _WARNINGS, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = recognizer.with_labels(labels)
        self.notes = list(dict.fromkeys(str(warning.message) for warning in caught))
        return found
