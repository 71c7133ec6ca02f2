"""What the first bytes of a coded picture tell: whether another one refers to it, and whether decoding can start at it.

Leaving out a picture is exact only where nothing depends on it. That holds for pictures that are never referred to in
H.264 (nal_ref_idc 0), in HEVC (sub-layer non-reference pictures of the highest temporal sub-layer), and for B pictures
of MPEG-1, MPEG-2 and MPEG-4 Visual. In VP8 and VP9 every frame may change the probabilities that the next one is
decoded with, and AV1's encoders hardly make a frame that refreshes no reference: all of theirs are decoded.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

Data = bytes | memoryview


class Traits(NamedTuple):
    """Of one coded picture.

    Attributes:
        referred: Whether other pictures may depend on it.
        entry: Whether all that follows it in presentation order can be decoded from it on.
        layer: Temporal sub-layer.
        kind: Of the picture, where B pictures stand between the others: I, P or B; empty if not looked at.
        shown: Whether it is more than a reference for others.
    """

    referred: bool
    entry: bool
    layer: int = 0
    kind: str = ""
    shown: bool = True


Parser = Callable[[Data, bool], Traits]
"""Bytes of a packet, and whether its container calls it a keyframe."""


def parser_for(codec: str, extradata: bytes | None) -> Parser:
    """How pictures of a stream are looked at.

    Args:
        codec: FFmpeg's name.
        extradata: The stream's global headers, which tell how units are delimited.
    """
    if codec in ("h264", "hevc"):
        length = _length_size(codec, extradata or b"")
        units = partial(_length_prefixed, length) if length else _start_coded
        look = _h264 if codec == "h264" else _hevc
        return lambda data, keyframe: look(units(data), keyframe)
    return _VISUAL.get(codec, _vp8 if codec == "vp8" else _unknown)


def reorders_by_kind(codec: str) -> bool:
    """Whether presentation order follows from the kinds of pictures alone."""
    return codec in _VISUAL


def presentation_order(kinds: list[str]) -> list[int]:
    """Places in presentation order: a B picture is shown at once, any other when the next such one has come."""
    order, held = [], -1
    for place, kind in enumerate(kinds):
        if kind == "B":
            order.append(place)
            continue
        if held >= 0:
            order.append(held)
        held = place
    return [*order, held] if held >= 0 else order


def _unknown(data: Data, keyframe: bool) -> Traits:
    return Traits(True, keyframe)


def _length_size(codec: str, extradata: bytes) -> int:
    """Bytes of a unit's length, 0 for start codes (Annex B)."""
    place = 4 if codec == "h264" else 21
    avc = extradata[:1] == b"\x01" or (codec == "hevc" and extradata[:3] not in (b"", b"\0\0\0", b"\0\0\1"))
    return (extradata[place] & 3) + 1 if avc and len(extradata) > place else 0


def _length_prefixed(length: int, data: Data) -> Iterator[Data]:
    place, end = 0, len(data)
    while place + length < end:
        size = int.from_bytes(data[place : place + length], "big")
        place += length
        yield data[place : place + min(size, 64)]
        place += size


def _start_coded(data: Data) -> Iterator[Data]:
    raw = bytes(data)
    place = raw.find(b"\0\0\1")
    while place >= 0:
        yield raw[place + 3 : place + 67]
        place = raw.find(b"\0\0\1", place + 3)


def _h264(units: Iterator[Data], keyframe: bool) -> Traits:
    """Rec. ITU-T H.264, 7.3.1 and 7.4.1."""
    referred = entry = seen = False
    for unit in units:
        kind = unit[0] & 31 if len(unit) else 0
        if 1 <= kind <= 5:
            seen, referred, entry = True, referred or bool(unit[0] & 0x60), entry or kind == 5
            if referred and (entry or not keyframe):
                break  # nothing after it can change the answer
        elif kind == 6:
            entry = entry or (keyframe and _recovers_at_once(unit))
    return Traits(referred or not seen, entry)


def _recovers_at_once(unit: Data) -> bool:
    """Whether a first SEI message is a recovery point with recovery_frame_cnt 0 and exact_match_flag 1 (D.1.8)."""
    place = 1
    while place + 2 < len(unit):
        kind, size = unit[place], unit[place + 1]
        if 255 in (kind, size):
            return False
        if kind == 6:
            return unit[place + 2] & 0xC0 == 0xC0
        place += 2 + size
    return False


def _hevc(units: Iterator[Data], keyframe: bool) -> Traits:
    """Rec. ITU-T H.265, 7.3.1.2 and table 7-1."""
    referred = entry = seen = False
    layer = 0
    for unit in units:
        kind = unit[0] >> 1 & 63 if len(unit) > 1 else 63
        if kind < 32:
            # even types below 16 are sub-layer non-reference pictures
            seen, referred = True, referred or kind >= 16 or kind % 2 == 1
            entry = entry or 16 <= kind <= 21
            layer = max(layer, (unit[1] & 7) - 1)
    return Traits(referred or not seen, entry, layer)


def _mpeg4(data: Data, keyframe: bool) -> Traits:
    """ISO/IEC 14496-2, 6.2.5: vop_coding_type after the start code B6."""
    return _visual([_MPEG4_KINDS[unit[1] >> 6] for unit in _start_coded(data) if unit[:1] == b"\xb6" and unit[1:]])


def _mpeg2(data: Data, keyframe: bool) -> Traits:
    """ISO/IEC 13818-2, 6.2.3: picture_coding_type after the start code 00 and ten bits of temporal_reference."""
    kinds = [unit[2] >> 3 & 7 for unit in _start_coded(data) if unit[:1] == b"\0" and len(unit) > 2]
    return _visual([_MPEG2_KINDS.get(kind, "") for kind in kinds])


def _vp8(data: Data, keyframe: bool) -> Traits:
    """RFC 6386, 9.1: show_frame in the frame tag."""
    return Traits(True, keyframe, shown=bool(data[0] & 0x10))


def _visual(kinds: list[str]) -> Traits:
    # two fields of one picture may be I and P
    kind = kinds[0] if kinds and (kinds[0] == "B") == (kinds[-1] == "B") else ""
    return Traits(kind != "B", kind == "I", kind=kind)


_MPEG4_KINDS: Final = "IPBP"
_MPEG2_KINDS: Final = {1: "I", 2: "P", 3: "B"}
_VISUAL: Final[dict[str, Parser]] = {"mpeg4": _mpeg4, "mpeg2video": _mpeg2, "mpeg1video": _mpeg2}
