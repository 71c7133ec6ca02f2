"""Short phrases on one attribute each, as multiple-choice questions about stills."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ost_lightning.toyworld.vocabulary import COLORS, EXTRAS, HATS, PROPS, SETTINGS, STATES, VERBS
from ost_lightning.toyworld.wording import (
    extra_phrase,
    outfit_phrase,
    prop_phrase,
    setting_phrase,
    state_phrase,
)
from studies.tiny_clip.captions import PREFIXES, hat_phrase
from studies.tiny_clip.stills import Still

NO_ANSWER: Final = -100
"""Answer of stills that no phrase describes, which cross-entropy ignores."""


@dataclass(frozen=True, slots=True)
class PhraseBank:
    """Phrases of which at most one describes a still.

    Attributes:
        values: Value that each phrase describes.
        phrases: Phrases, one per value.
        shown: Function from a still to its value.
    """

    values: list[object]
    phrases: list[str]
    shown: Callable[[Still], object]

    def answer(self, still: Still) -> int:
        """Returns the index of the matching phrase, or `NO_ANSWER` if none matches."""
        value = self.shown(still)
        return self.values.index(value) if value in self.values else NO_ANSWER


def phrase_banks(focus: list[str], rng: random.Random) -> list[PhraseBank]:
    """Returns one question per attribute, with random wording.

    Args:
        focus: Props with questions about color and state.
        rng: Generator that chooses the wording.
    """

    def bank(values: list[object], words: list[str], shown: Callable[[Still], object]) -> PhraseBank:
        return PhraseBank(values, [rng.choice(PREFIXES) + text for text in words], shown)

    hats = [hat for hat in HATS if hat != "none"]
    colors = [(prop, color) for prop in focus for color in COLORS]
    states = [(prop, state) for prop in focus for state in STATES]
    return [
        bank([*SETTINGS], [setting_phrase(value, rng) for value in SETTINGS], lambda still: still.appearance.setting),
        bank([*COLORS], [outfit_phrase(value, rng) for value in COLORS], lambda still: still.appearance.outfit),
        bank([*hats], [hat_phrase(value, rng) for value in hats], lambda still: still.appearance.hat),
        bank([*EXTRAS], [extra_phrase(value, rng) for value in EXTRAS], lambda still: still.appearance.extra),
        bank([*PROPS], [_noun(value, rng) for value in PROPS], lambda still: still.appearance.prop),
        bank(
            [*colors],
            [prop_phrase(*value, rng) for value in colors],
            lambda still: (still.appearance.prop, still.appearance.prop_color),
        ),
        bank(
            [*states],
            [state_phrase(state, prop, rng) for prop, state in states],
            lambda still: (still.appearance.prop, still.state),
        ),
    ]


def _noun(prop: str, rng: random.Random) -> str:
    """Returns the prop alone or with a random verb: "a drum", "a person kicking drum"."""
    verb = rng.choice(list(VERBS))
    return rng.choice((f"{'an' if prop[0] in 'aeiou' else 'a'} {prop}", f"{verb} {prop}", f"a person {verb} {prop}"))
