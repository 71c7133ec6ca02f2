"""Action classes of the rendered world, such as "kicking drum".

A class has a name (verb and noun), a typical appearance and four states in order, with a Spatio Descriptor for each
constant of the appearance and a Temporal Descriptor for each state. The classes of a family are easily confused: they
share two of the four states and most of the appearance. Order pairs show the same states in opposite order. A *draw* is
one seeded set of classes; experiments are repeated over several draws.
"""

import random
from dataclasses import dataclass, replace
from typing import Final, Literal

from ost_lightning.errors import UserError
from ost_lightning.toyworld.difficulty import DIFFICULTIES, Difficulty
from ost_lightning.toyworld.scene import Appearance
from ost_lightning.toyworld.vocabulary import COLORS, EXTRAS, HATS, ORDER_VERBS, PROPS, SETTINGS, STATES, VERBS
from ost_lightning.toyworld.wording import spatio_descriptors, temporal_descriptors

DRAWS: Final = 5

Group = Literal["seen", "unseen", "order"]
GROUPS: Final[tuple[Group, ...]] = ("seen", "unseen", "order")


@dataclass(frozen=True, slots=True)
class ActionClass:
    """One class of actions.

    Attributes:
        name: Verb and noun.
        appearance: Typical appearance.
        steps: Four states, in order.
        spatio: One phrase per constant: setting, person, prop, extra object.
        temporal: One phrase per step, in order.
    """

    name: str
    appearance: Appearance
    steps: tuple[str, ...]
    spatio: tuple[str, ...]
    temporal: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """The part of the world that a group of classes may use."""

    settings: list[str]
    extras: list[str]
    states: list[str]
    props: list[str]


def draw_classes(draw: int, difficulty: Difficulty = "standard") -> dict[Group, tuple[ActionClass, ...]]:
    """Draws seen, unseen and order-pair classes: 40, 20 and 20 in the standard setting, 42, 30 and 20 in the hard one.

    Seen classes use only a part of the vocabulary (9 of 14 settings, 7 of 10 extras, 18 of 26 states, 12 of 16 props);
    the others use all of it.

    Args:
        draw: Number of the draw, 0 to `DRAWS` - 1.
        difficulty: Setting of the world.

    Raises:
        UserError: If the number is outside this range.
    """
    if not 0 <= draw < DRAWS:
        raise UserError(f"The rendered world has no draw {draw}: choose 0 to {DRAWS - 1}.")
    setting = DIFFICULTIES[difficulty]
    rng = random.Random(f"toyworld classes {draw}" if difficulty == "standard" else f"toyworld {difficulty} {draw}")
    settings, extras, states, props = (
        rng.sample(list(words), len(words)) for words in (SETTINGS, EXTRAS, STATES, PROPS)
    )
    part = _Vocabulary(settings[:9], extras[:7], states[:18], props[:12])
    complete = _Vocabulary(settings, extras, states, props)
    names: set[str] = set()
    size = setting.family_size
    seen = [action for _ in range(setting.seen_families) for action in _family(size, part, names, rng)]
    unseen = [action for _ in range(setting.unseen_families) for action in _family(size, complete, names, rng)]
    order = [action for k in range(setting.order_pairs) for action in _order_pair(k, complete, rng)]
    return {"seen": tuple(seen), "unseen": tuple(unseen), "order": tuple(order)}


def _appearance(words: _Vocabulary, prop: str, rng: random.Random) -> Appearance:
    return Appearance(
        setting=rng.choice(words.settings),
        outfit=rng.choice(list(COLORS)),
        hat=rng.choice(list(HATS)),
        prop=prop,
        prop_color=rng.choice(list(COLORS)),
        extra=rng.choice(words.extras),
    )


def vary(
    appearance: Appearance, rng: random.Random, *, rate: float, settings: list[str], extras: list[str]
) -> Appearance:
    """Redraws each attribute except the prop with probability `rate`."""
    return replace(
        appearance,
        setting=rng.choice(settings) if rng.random() < rate else appearance.setting,
        extra=rng.choice(extras) if rng.random() < rate else appearance.extra,
        outfit=rng.choice(list(COLORS)) if rng.random() < rate else appearance.outfit,
        hat=rng.choice(list(HATS)) if rng.random() < rate else appearance.hat,
        prop_color=rng.choice(list(COLORS)) if rng.random() < rate else appearance.prop_color,
    )


def _family(size: int, words: _Vocabulary, names: set[str], rng: random.Random) -> list[ActionClass]:
    """Draws classes that resemble one another, with names not in `names`, and adds their names to it."""
    shared = rng.sample(words.states, 2)
    prop = rng.choice(words.props)
    typical = _appearance(words, prop, rng)
    family = []
    for _ in range(size):
        name = None
        while name is None or name in names:
            verb = rng.choice(list(VERBS))
            noun = prop if rng.random() < 0.6 else rng.choice(words.props)
            name = f"{verb} {noun}"
        names.add(name)
        unshared = [state for state in words.states if state not in shared]
        steps = [*shared]
        if VERBS[verb] in unshared and rng.random() < 0.7:
            steps.append(VERBS[verb])
        steps += rng.sample([state for state in unshared if state not in steps], 4 - len(steps))
        rng.shuffle(steps)
        appearance = vary(replace(typical, prop=noun), rng, rate=0.3, settings=words.settings, extras=words.extras)
        family.append(_describe(name, appearance, tuple(steps), rng))
    return family


def _order_pair(index: int, words: _Vocabulary, rng: random.Random) -> list[ActionClass]:
    prop = PROPS[(3 * index + 1) % len(PROPS)]
    forward, backward = ORDER_VERBS[index % len(ORDER_VERBS)]
    appearance = _appearance(words, prop, rng)
    first = _describe(f"{forward} {prop}", appearance, tuple(rng.sample(words.states, 4)), rng)
    second = replace(first, name=f"{backward} {prop}", steps=first.steps[::-1], temporal=first.temporal[::-1])
    return [first, second]


def _describe(name: str, appearance: Appearance, steps: tuple[str, ...], rng: random.Random) -> ActionClass:
    spatio = spatio_descriptors(appearance, rng)
    return ActionClass(name, appearance, steps, spatio, temporal_descriptors(steps, appearance.prop, rng))
