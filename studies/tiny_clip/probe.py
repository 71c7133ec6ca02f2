"""Probe of the tiny CLIP: zero-shot accuracy per visible attribute on unseen stills."""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from ost_lightning.toyworld.vocabulary import COLORS, EXTRAS, HATS, PROPS, SETTINGS, STATES, VERBS
from studies.tiny_clip.stills import Still

TextEncoder = Callable[[list[str]], Tensor]
"""Function from n sentences to their L2-normalized embeddings, (n, d)."""

ATTRIBUTES: Final = ("setting", "outfit", "prop", "prop_color", "hat", "extra", "state")
"""Required attributes; the verb, which a single still rarely reveals, is probed for information only."""


@torch.no_grad()
def probe(images: Tensor, stills: Sequence[Still], encode_text: TextEncoder) -> dict[str, float]:
    """Returns the accuracy by attribute, and of the verb where the state reveals one.

    Color and state are probed with the correct prop given, since their phrases name it.

    Args:
        images: L2-normalized embeddings of the stills, (n, d).
        stills: The n stills.
        encode_text: Text encoder of the model.

    Returns:
        Share of correct answers by attribute, among the stills that show it.
    """
    photo_of = "a photo of {}".format
    scores = {
        "setting": _one_of(
            images,
            [still.appearance.setting for still in stills],
            {s: photo_of(p[0]) for s, p in SETTINGS.items()},
            encode_text,
        ),
        "outfit": _one_of(
            images,
            [still.appearance.outfit for still in stills],
            {c: f"a photo of a person in a {c} outfit" for c in COLORS},
            encode_text,
        ),
        "prop": _one_of(
            images, [still.appearance.prop for still in stills], {p: photo_of(f"a {p}") for p in PROPS}, encode_text
        ),
        "hat": _one_of(
            images,
            [still.appearance.hat for still in stills],
            {h: f"a photo of a person with {p[0]}" for h, p in HATS.items() if p},
            encode_text,
        ),
        "extra": _one_of(
            images,
            [still.appearance.extra for still in stills],
            {e: photo_of(p[0]) for e, p in EXTRAS.items()},
            encode_text,
        ),
    }
    colors, states = list(COLORS), list(STATES)
    questions: dict[str, tuple[Callable[[str], list[str]], list[int]]] = {
        "prop_color": (
            lambda prop: [f"a photo of a {c} {prop}" for c in colors],
            [colors.index(s.appearance.prop_color) for s in stills],
        ),
        "state": (
            lambda prop: [photo_of(STATES[s][1].format(prop=prop)) for s in states],
            [states.index(s.state) for s in stills],
        ),
    }
    props = torch.tensor([PROPS.index(still.appearance.prop) for still in stills], device=images.device)
    for key, (phrases, truth) in questions.items():
        texts = torch.stack([encode_text(phrases(prop)) for prop in PROPS])
        guesses = torch.einsum("nd,nkd->nk", images, texts[props]).argmax(1)
        scores[key] = (guesses.cpu() == torch.tensor(truth)).float().mean().item()
    verb_of = {state: verb for verb, state in VERBS.items()}
    revealed = [verb_of.get(still.state) for still in stills]
    scores["verb"] = _one_of(images, revealed, {verb: f"a video of a person {verb}" for verb in VERBS}, encode_text)
    return scores


def _one_of(images: Tensor, truth: Sequence[str | None], phrases: dict[str, str], encode_text: TextEncoder) -> float:
    """Returns the accuracy over the stills whose true value has a phrase."""
    values = list(phrases)
    answers = torch.tensor([values.index(value) if value in phrases else -1 for value in truth])
    guesses = (images @ encode_text(list(phrases.values())).T).argmax(1).cpu()
    shown = answers >= 0
    return (guesses == answers)[shown].float().mean().item()
