"""How hard the rendered world is: the standard setting, and a harder one in which little is saturated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Difficulty = Literal["standard", "hard"]


@dataclass(frozen=True, slots=True)
class DifficultySettings:
    """What makes a setting of the rendered world easy or hard.

    Attributes:
        family_size: Number of easily confused classes per family.
        seen_families: Number of families of seen classes.
        unseen_families: Number of families of unseen classes.
        order_pairs: Number of pairs of classes with the same states in opposite order.
        frames: Number of frames per video.
        foreign_states: Most states per video that are inserted between those of the action.
        flawed_descriptors: Whether descriptors have the flaws of a language model's answers.
    """

    family_size: int
    seen_families: int
    unseen_families: int
    order_pairs: int
    frames: int
    foreign_states: int
    flawed_descriptors: bool


DIFFICULTIES: Final[Mapping[Difficulty, DifficultySettings]] = {
    "standard": DifficultySettings(4, 10, 5, 10, frames=32, foreign_states=1, flawed_descriptors=False),
    "hard": DifficultySettings(6, 7, 5, 10, frames=48, foreign_states=3, flawed_descriptors=True),
}
