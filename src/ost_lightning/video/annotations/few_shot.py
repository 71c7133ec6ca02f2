"""Few-shot subsets: K videos of every class."""

from collections.abc import Hashable, Sequence
from hashlib import blake2b

from ost_lightning.errors import UserError


def draw_shots(ids: Sequence[str], labels: Sequence[Hashable], shots: int, seed: int) -> list[int]:
    """Draws K videos of every class.

    The draw depends only on the seed and the ids, not on the order of the list or on other classes. For the same seed,
    the videos drawn for fewer shots are among those drawn for more.

    Args:
        ids: Ids of the videos, all different.
        labels: Class of each video.
        shots: Number of videos per class (K), at least 1.
        seed: Seed for the draw.

    Returns:
        Indices into `ids`, ascending; K of every class.

    Raises:
        UserError: If K is less than 1, or a class has fewer than K videos.
    """
    if shots < 1:
        raise UserError(f"The number of shots is {shots}, but at least one video per class is needed.")
    of_class: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        of_class.setdefault(label, []).append(index)
    if short := [(label, len(indices)) for label, indices in of_class.items() if len(indices) < shots]:
        examples = ", ".join(f"class {label} has {count}" for label, count in short[:3])
        raise UserError(
            f"{len(short)} of {len(of_class)} classes have fewer than {shots} videos ({examples}). Use fewer shots."
        )
    order = [blake2b(f"{seed}/{id_}".encode(errors="surrogatepass"), digest_size=16).digest() for id_ in ids]
    return sorted(index for indices in of_class.values() for index in sorted(indices, key=order.__getitem__)[:shots])
