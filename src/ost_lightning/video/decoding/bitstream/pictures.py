"""What the headers of coded pictures say, and the presentation order that follows from it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

Data = bytes | memoryview


class PictureInfo(NamedTuple):
    """Decoding properties of one coded picture.

    Attributes:
        is_reference: Whether other pictures may depend on it.
        is_random_access_point: Whether decoding can start at it: everything that follows it in presentation order
            decodes correctly from there.
        temporal_id: Temporal sub-layer, from 0.
        picture_type: `I`, `P` or `B`, in codecs whose presentation order follows from it; otherwise empty.
        is_shown: Whether it is displayed; False for pictures that only serve as a reference.
        order_count: Picture order count modulo `order_period` (H.264, HEVC); None if unknown.
        order_period: Period of the order count; 0 if pictures are shown in decoding order.
        restarts_order: Whether order counts begin anew at it, after all earlier pictures have been shown.
    """

    is_reference: bool
    is_random_access_point: bool
    temporal_id: int = 0
    picture_type: str = ""
    is_shown: bool = True
    order_count: int | None = None
    order_period: int = 0
    restarts_order: bool = False


Parser = Callable[[Data, bool], PictureInfo]
"""Takes the bytes of a packet and whether its container marks it as a keyframe."""


def order_by_types(types: Sequence[str]) -> list[int]:
    """Sorts pictures, given in decoding order, into presentation order.

    A B picture is shown at once, any other picture when the next one that is not a B picture arrives.

    Args:
        types: Picture types (`I`, `P` or `B`) in decoding order.

    Returns:
        Indices into `types`.
    """
    order, held = [], -1
    for index, picture_type in enumerate(types):
        if picture_type == "B":
            order.append(index)
            continue
        if held >= 0:
            order.append(held)
        held = index
    return [*order, held] if held >= 0 else order


def coded_order(pictures: Sequence[PictureInfo]) -> list[int] | None:
    """Presentation order of pictures according to their headers.

    Args:
        pictures: Pictures in decoding order, the first of which is a random access point.

    Returns:
        Indices into `pictures`; None if the headers do not contain the order.
    """
    types = [picture.picture_type for picture in pictures]
    if "" not in types:
        return order_by_types(types)
    keys: list[tuple[int, int]] = []
    sequence = high = 0
    low = pictures[0].order_count or 0
    for index, picture in enumerate(pictures):
        count, period = picture.order_count, picture.order_period
        if count is None:
            return None
        if picture.restarts_order:
            sequence, high, low = sequence + 1, 0, 0
        if period:  # Rec. ITU-T H.264, 8.2.1.1, and H.265, 8.3.1
            wrapped = period * ((low - count >= period // 2) - (count - low > period // 2))
            keys.append((sequence, high + wrapped + count))
            if picture.is_reference and not picture.temporal_id:
                high, low = high + wrapped, count
        else:
            keys.append((sequence, index))
    return sorted(range(len(keys)), key=keys.__getitem__)
