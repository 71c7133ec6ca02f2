"""Flaws of descriptors that a language model writes: steps in a wrong order, and hallucinations.

A hallucination is a phrase that fits the class's name and is false: the person, setting or extra object of other
classes, another color of the prop, or a state that the action does not show.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ost_lightning.toyworld.grammar import ActionClass
from ost_lightning.toyworld.wording import spatio_descriptors, state_phrase

MISORDERED: Final = 1 / 3
"""Share of the classes whose steps are listed in a wrong order."""


def flawed(actions: Sequence[ActionClass], seed: str) -> tuple[ActionClass, ...]:
    """Returns the same classes with flawed descriptors; what their videos show stays the same.

    In every class, one Spatio and one Temporal Descriptor is hallucinated. In a third of the classes, rounded, the
    Temporal Descriptors are in a random order in which those that are true contradict the order of the action.

    Args:
        actions: All classes of a group; hallucinations are about what other classes of the group show.
        seed: Seed, any text.
    """
    rng = random.Random(seed)
    misordered = set(rng.sample(range(len(actions)), round(MISORDERED * len(actions))))
    return tuple(_flawed(action, actions, index in misordered, rng) for index, action in enumerate(actions))


def _flawed(action: ActionClass, actions: Sequence[ActionClass], misordered: bool, rng: random.Random) -> ActionClass:
    spatio, temporal = list(action.spatio), list(action.temporal)
    place = rng.randrange(len(spatio))
    spatio[place] = _foreign_phrase(place, action, actions, rng)
    foreign = sorted({step for other in actions for step in other.steps} - set(action.steps))
    hallucinated = rng.randrange(len(temporal))
    temporal[hallucinated] = state_phrase(rng.choice(foreign), action.appearance.prop, rng)
    if misordered:
        order = list(range(len(temporal)))
        while (true := [k for k in order if k != hallucinated]) == sorted(true):
            rng.shuffle(order)
        temporal = [temporal[k] for k in order]
    return replace(action, spatio=tuple(spatio), temporal=tuple(temporal))


def _foreign_phrase(place: int, action: ActionClass, actions: Sequence[ActionClass], rng: random.Random) -> str:
    """Returns a Spatio Descriptor about another setting, person, color of the prop, or extra object."""
    attribute = ("setting", "outfit", "prop_color", "extra")[place]
    own = getattr(action.appearance, attribute)
    others = sorted({getattr(other.appearance, attribute) for other in actions} - {own})
    return spatio_descriptors(replace(action.appearance, **{attribute: rng.choice(others)}), rng)[place]
