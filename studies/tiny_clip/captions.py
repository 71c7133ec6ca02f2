"""Captions of stills: sentences that describe a random part of the scene."""

import random
from typing import Final

from ost_lightning.toyworld.scene import Appearance
from ost_lightning.toyworld.vocabulary import HATS, VERBS
from ost_lightning.toyworld.wording import extra_phrase, outfit_phrase, prop_phrase, setting_phrase, state_phrase

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
_HAT_PHRASES: Final[tuple[str, ...]] = ("a person with {}", "someone wearing {}", "{}")


def hat_phrase(hat: str, rng: random.Random) -> str:
    """Returns a phrase such as "a person with a top hat"; `hat` must not be "none"."""
    return rng.choice(_HAT_PHRASES).format(rng.choice(HATS[hat]))


def visible_phrases(appearance: Appearance, rng: random.Random) -> dict[str, str]:
    """Returns one phrase per visible attribute: setting, prop, outfit and, if present, extra and hat."""
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


def caption(
    appearance: Appearance, state: str, rng: random.Random, verb_rate: float = 0.25, verb_noise: float = 0.4
) -> str:
    """Returns a sentence that describes a random part of a still.

    Args:
        appearance: Attributes of the scene.
        state: State of the scene.
        rng: Generator that chooses content and wording.
        verb_rate: Share of captions that name an activity ("kicking drum").
        verb_noise: Share of these captions whose verb is random instead of matching the state.
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
    matching = [verb for verb, revealed_by in VERBS.items() if revealed_by == state]
    verb = rng.choice(matching) if matching and rng.random() > verb_noise else rng.choice(list(VERBS))
    activity = f"{verb} {appearance.prop}"
    if rng.random() < 0.4:
        return f"a video of {activity} usually includes {shown}"
    return rng.choice(PREFIXES) + ", ".join([rng.choice((f"a person {activity}", activity)), *mentioned])
