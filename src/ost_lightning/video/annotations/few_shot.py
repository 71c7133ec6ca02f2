"""Drawing K videos of every class."""

from collections.abc import Hashable, Sequence
from hashlib import blake2b

from ost_lightning.errors import UserError


def draw_shots(ids: Sequence[str], labels: Sequence[Hashable], shots: int, seed: int) -> list[int]:
    """Draws K videos of every class.

    The draw depends on the seed and the ids only, not on the order of the list nor on the other classes; and with one
    seed, fewer shots are a part of more.

    Args:
        ids: Of the videos, distinct.
        labels: Their classes.
        shots: K.
        seed: Of the draw.

    Returns:
        Places in `ids`, ascending; K of every class.

    Raises:
        UserError: If a class has fewer than K videos.
    """
    if shots < 1:
        raise UserError(f"{shots} shots: at least one video a class is needed.")
    of_class: dict[Hashable, list[int]] = {}
    for place, label in enumerate(labels):
        of_class.setdefault(label, []).append(place)
    if short := [(label, len(places)) for label, places in of_class.items() if len(places) < shots]:
        examples = ", ".join(f"class {label} has {count}" for label, count in short[:3])
        raise UserError(f"{len(short)} of {len(of_class)} classes have fewer than {shots} videos ({examples}).")
    order = [blake2b(f"{seed}/{id_}".encode(), digest_size=16).digest() for id_ in ids]
    return sorted(place for places in of_class.values() for place in sorted(places, key=order.__getitem__)[:shots])
