"""What was recognized in a video."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recognition:
    """Classes of one video with their probabilities, the likeliest first.

    Attributes:
        video: Path or address that was given.
        classes: All K class names, by falling probability.
        probabilities: Probability of each entry of `classes`, 0 to 1; they sum to 1.

    Example:
        >>> found = Recognition("clip.mp4", ("archery", "surfing"), (0.9, 0.1))
        >>> found.label, found.probability
        ('archery', 0.9)
        >>> print(found)
        clip.mp4: archery (90.0 %), surfing (10.0 %)
    """

    video: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def label(self) -> str:
        """Name of the likeliest class."""
        return self.classes[0]

    @property
    def probability(self) -> float:
        """Probability of the likeliest class, 0 to 1."""
        return self.probabilities[0]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The likeliest classes, each with its probability.

        Args:
            count: Number of classes; all of them if there are fewer.
        """
        return list(zip(self.classes, self.probabilities, strict=True))[:count]

    def __repr__(self) -> str:
        return f"Recognition({self.video!r}, label={self.label!r}, probability={self.probability:.4f})"

    def __str__(self) -> str:
        return f"{self.video}: " + ", ".join(f"{name} ({share:.1%})".replace("%", " %") for name, share in self.top())
