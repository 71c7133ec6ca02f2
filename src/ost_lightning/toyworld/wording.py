"""From what is visible to words: phrases, captions and the descriptors of an action."""

import random
from typing import Final

from ost_lightning.toyworld.scene import Appearance
from ost_lightning.toyworld.vocabulary import (
    EXTRAS,
    HAT_PHRASES,
    HATS,
    OUTFIT_PHRASES,
    PROP_PHRASES,
    SETTINGS,
    STATES,
    VERBS,
)

PREFIXES: Final[tuple[str, ...]] = (
    "a photo of ",
    "a picture of ",
    "an image showing ",
    "a drawing of ",
    "this is a picture about ",
    "this is a video about ",
    "a frame from a video of ",
    "",
)


def setting_phrase(setting: str, rng: random.Random) -> str:
    """E.g. "a sandy beach by the sea"."""
    return rng.choice(SETTINGS[setting])


def outfit_phrase(outfit: str, rng: random.Random) -> str:
    """E.g. "someone wearing blue clothes"."""
    return _with_article(rng.choice(OUTFIT_PHRASES).format(outfit), outfit)


def hat_phrase(hat: str, rng: random.Random) -> str:
    """E.g. "a person with a top hat"; `hat` must not be "none"."""
    return rng.choice(HAT_PHRASES).format(rng.choice(HATS[hat]))


def extra_phrase(extra: str, rng: random.Random) -> str:
    """E.g. "a lamp post"."""
    return rng.choice(EXTRAS[extra])


def prop_phrase(prop: str, color: str, rng: random.Random) -> str:
    """E.g. "an orange kite"."""
    phrase = rng.choice(PROP_PHRASES).format(color=color, prop=prop)
    return _with_article(_with_article(phrase, color), prop)


def state_phrase(state: str, prop: str, rng: random.Random) -> str:
    """E.g. "raises the drum overhead"."""
    return rng.choice(STATES[state]).format(prop=prop)


def _with_article(phrase: str, noun: str) -> str:
    return phrase.replace(f"a {noun}", f"an {noun}") if noun[0] in "aeiou" else phrase


def visible_phrases(appearance: Appearance, rng: random.Random) -> dict[str, str]:
    """One phrase for each attribute that shows: setting, prop, outfit and, where there is one, extra and hat."""
    phrases = {
        "setting": setting_phrase(appearance.setting, rng),
        "prop": prop_phrase(appearance.prop, appearance.prop_color, rng),
        "outfit": outfit_phrase(appearance.outfit, rng),
    }
    if appearance.extra is not None:
        phrases["extra"] = extra_phrase(appearance.extra, rng)
    if appearance.hat != "none":
        phrases["hat"] = hat_phrase(appearance.hat, rng)
    return phrases


def spatio_descriptors(appearance: Appearance, rng: random.Random) -> tuple[str, ...]:
    """Four phrases on what is always there: setting, person, prop, extra object."""
    outfit = outfit_phrase(appearance.outfit, rng)
    if appearance.hat != "none":
        outfit = _with_article(
            f"a person in a {appearance.outfit} outfit with {rng.choice(HATS[appearance.hat])}", appearance.outfit
        )
    prop = prop_phrase(appearance.prop, appearance.prop_color, rng)
    extra = extra_phrase(appearance.extra or "tree", rng)
    return setting_phrase(appearance.setting, rng), outfit, prop, extra


def temporal_descriptors(steps: tuple[str, ...], prop: str, rng: random.Random) -> tuple[str, ...]:
    """One phrase a step, in the order of the action."""
    return tuple(state_phrase(step, prop, rng) for step in steps)


def caption(
    appearance: Appearance, state: str, rng: random.Random, verb_rate: float = 0.25, verb_noise: float = 0.4
) -> str:
    """A sentence on a random part of what one still shows.

    Args:
        appearance: The scene's attributes.
        state: The state it is in.
        rng: Chooses what is mentioned, and how.
        verb_rate: Share of captions that name an activity ("kicking drum").
        verb_noise: Share of those whose verb is drawn blindly instead of from the state.
    """
    phrases = list(visible_phrases(appearance, rng).values())
    rng.shuffle(phrases)
    mentioned = phrases[: rng.choice((1, 2, 2, 3, 3, 4))]
    shown = state_phrase(state, appearance.prop, rng)
    if rng.random() < 0.7:
        mentioned.append(shown)
    rng.shuffle(mentioned)
    if rng.random() >= verb_rate:
        return rng.choice(PREFIXES) + rng.choice((", ", ", ", " and ")).join(mentioned)
    betraying = [verb for verb, betrayed_by in VERBS.items() if betrayed_by == state]
    verb = rng.choice(betraying) if betraying and rng.random() > verb_noise else rng.choice(list(VERBS))
    activity = f"{verb} {appearance.prop}"
    if rng.random() < 0.4:
        return f"a video of {activity} usually includes {shown}"
    return rng.choice(PREFIXES) + ", ".join([rng.choice((f"a person {activity}", activity)), *mentioned])
