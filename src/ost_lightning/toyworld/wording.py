"""Phrases for visible attributes and states, and the descriptors of an action."""

import random

from ost_lightning.toyworld.scene import Appearance
from ost_lightning.toyworld.vocabulary import (
    EXTRAS,
    HATS,
    OUTFIT_PHRASES,
    PROP_PHRASES,
    SETTINGS,
    STATES,
)


def setting_phrase(setting: str, rng: random.Random) -> str:
    """Returns a phrase for a setting, such as "a sandy beach by the sea"."""
    return rng.choice(SETTINGS[setting])


def outfit_phrase(outfit: str, rng: random.Random) -> str:
    """Returns a phrase for an outfit, such as "someone wearing blue clothes"."""
    return _with_article(rng.choice(OUTFIT_PHRASES).format(outfit), outfit)


def extra_phrase(extra: str, rng: random.Random) -> str:
    """Returns a phrase for an extra object, such as "a lamp post"."""
    return rng.choice(EXTRAS[extra])


def prop_phrase(prop: str, color: str, rng: random.Random) -> str:
    """Returns a phrase for a prop, such as "an orange kite"."""
    phrase = rng.choice(PROP_PHRASES).format(color=color, prop=prop)
    return _with_article(_with_article(phrase, color), prop)


def state_phrase(state: str, prop: str, rng: random.Random) -> str:
    """Returns a phrase for a state, such as "raises the drum overhead"."""
    return rng.choice(STATES[state]).format(prop=prop)


def _with_article(phrase: str, noun: str) -> str:
    return phrase.replace(f"a {noun}", f"an {noun}") if noun[0] in "aeiou" else phrase


def spatio_descriptors(appearance: Appearance, rng: random.Random) -> tuple[str, ...]:
    """Returns four phrases for what is visible throughout: setting, person, prop, extra object."""
    outfit = outfit_phrase(appearance.outfit, rng)
    if appearance.hat != "none":
        outfit = _with_article(
            f"a person in a {appearance.outfit} outfit with {rng.choice(HATS[appearance.hat])}", appearance.outfit
        )
    prop = prop_phrase(appearance.prop, appearance.prop_color, rng)
    extra = extra_phrase(appearance.extra or "tree", rng)
    return setting_phrase(appearance.setting, rng), outfit, prop, extra


def temporal_descriptors(steps: tuple[str, ...], prop: str, rng: random.Random) -> tuple[str, ...]:
    """Returns one phrase per step, in the order of the action."""
    return tuple(state_phrase(step, prop, rng) for step in steps)
