"""The results of recognizing a video."""

from dataclasses import dataclass, field

from rich.cells import cell_len

from ost_lightning.errors import UserError
from ost_lightning.recognition.sentence_match import SentenceMatch


@dataclass(frozen=True, slots=True)
class Recognition:
    """Classes of one video with their probabilities, most likely first.

    Attributes:
        video: Path or URL of the video, as passed to the recognizer, without passwords.
        classes: Names of all K classes, in decreasing order of probability.
        probabilities: Probability of each entry of `classes`, 0 to 1; the sum is 1, unless each class has its own
            (`scores: sigmoid`).
        p_values: Conformal p-value of each entry of `classes`; empty without calibration.
        background_p_value: P-value of the hypothesis that the video shows none of the classes; None if the recognizer
            was not calibrated with such videos.
        evidence: Sentence of the most likely class that fits best, and the frames that show it; None if it was not
            asked for, or the matcher can't be explained.
        none_below: Probability below which no class counts as shown, 0 to 1; None if the recognizer has no such level.

    Examples:
        >>> found = Recognition("clip.mp4", ("archery", "surfing"), (0.9, 0.1))
        >>> found.label, found.probability
        ('archery', 0.9)
        >>> print(found)
        clip.mp4: archery (90.0 %), surfing (10.0 %)
    """

    video: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    p_values: tuple[float, ...] = ()
    background_p_value: float | None = None
    evidence: SentenceMatch | None = field(default=None, compare=False)
    none_below: float | None = None

    @property
    def label(self) -> str:
        """Name of the most likely class."""
        return self.classes[0]

    @property
    def probability(self) -> float:
        """Probability of the most likely class, 0 to 1."""
        return self.probabilities[0]

    @property
    def none_of_these(self) -> bool | None:
        """Whether no class is as probable as the level `none_below`; None without a level."""
        return None if self.none_below is None else self.probability < self.none_below

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Returns the most likely classes, each with its probability.

        Args:
            count: Largest number of classes.
        """
        return list(zip(self.classes, self.probabilities, strict=True))[:count]

    def label_set(self, alpha: float = 0.1) -> tuple[str, ...]:
        """Returns the classes that the video may show; none of them if the tuple is empty.

        Over videos like those of the calibration, the true class is missing with probability alpha or less.

        Args:
            alpha: Risk, between 0 and 1.

        Raises:
            UserError: If the recognizer was not calibrated, or alpha is not between 0 and 1.
        """
        if not self.p_values:
            raise UserError(
                "Label sets need a calibration: first call the recognizer's `calibrate` with labeled videos."
            )
        if not 0 < alpha < 1:
            raise UserError(f"The risk alpha has to be between 0 and 1, for example 0.1, but is {alpha}.")
        return tuple(name for name, value in zip(self.classes, self.p_values, strict=True) if value > alpha)

    def summary(self, count: int = 5) -> str:
        """Returns one line with the video and its most likely classes.

        Args:
            count: Largest number of classes.
        """
        classes = (f"{name} ({probability:.1%})".replace("%", " %") for name, probability in self.top(count))
        none = "none of these: " if self.none_of_these else ""
        return f"{self.video}: {none}{', '.join(classes)}"

    def table(self, count: int = 5, alpha: float = 0.1) -> str:
        """Returns the most likely classes in lines of their own, what decided, and the label set if calibrated.

        Args:
            count: Largest number of classes.
            alpha: Risk of the label set, between 0 and 1.
        """
        names = [name for name, _ in self.top(count)]
        width = max(map(cell_len, names))
        p_values = [f"  p-value {value:.3f}" for value in self.p_values[:count]] or [""] * len(names)
        lines = [
            f"  {name}{' ' * (width - cell_len(name))}  {100 * probability:5.1f} %{p_value}"
            for name, probability, p_value in zip(names, self.probabilities, p_values, strict=False)
        ]
        if self.evidence is not None:
            lines.append(f"  decided by {self.evidence}")
        if self.none_below is not None and self.none_of_these:
            lines.append(f"  none of these: all are below {100 * self.none_below:g} %")
        if self.p_values:
            chosen = ", ".join(self.label_set(alpha)) or "none of these"
            lines.append(f"  label set ({100 * (1 - alpha):g} %): {chosen}")
        if self.background_p_value is not None:
            lines.append(f"  p-value of none of these: {self.background_p_value:.3f}")
        return "\n".join([self.video, *lines])

    def __repr__(self) -> str:
        return f"Recognition({self.video!r}, label={self.label!r}, probability={self.probability:.4f})"

    def __str__(self) -> str:
        return self.summary()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A video that could not be recognized, because it could not be read.

    Attributes:
        video: Path or URL of the video, as passed to the recognizer, without passwords.
        reason: Reason, with the path.
    """

    video: str
    reason: str

    def __str__(self) -> str:
        return self.reason
