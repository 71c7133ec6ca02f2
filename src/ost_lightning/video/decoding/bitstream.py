"""Coded-picture headers: whether other pictures refer to a picture, and whether decoding can start at it.

Skipping a picture is exact only if nothing depends on it. That holds for pictures that are never referenced: in H.264
those with nal_ref_idc 0, in HEVC sub-layer non-reference pictures of the highest temporal sub-layer, in MPEG-1, MPEG-2
and MPEG-4 Visual the B pictures. In VP8 and VP9 every frame may change the probabilities that the next one is decoded
with, and AV1 encoders hardly ever write a frame that refreshes no reference, so all of their frames are decoded.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

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
    """

    is_reference: bool
    is_random_access_point: bool
    temporal_id: int = 0
    picture_type: str = ""
    is_shown: bool = True


Parser = Callable[[Data, bool], PictureInfo]
"""Takes the bytes of a packet and whether its container marks it as a keyframe."""


def parser_for(codec: str, extradata: bytes | None) -> Parser:
    """Returns the function that parses the pictures of a stream.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: The stream's global headers, which say how NAL units are delimited.
    """
    if codec in ("h264", "hevc"):
        length = length_size(codec, extradata or b"")
        units = partial(_length_prefixed, length) if length else _start_coded
        parse = _h264 if codec == "h264" else _hevc
        return lambda data, keyframe: parse(units(data), keyframe)
    return _VISUAL.get(codec, _vp8 if codec == "vp8" else _unknown)


def reorders_by_type(codec: str) -> bool:
    """Whether presentation order follows from the picture types alone."""
    return codec in _VISUAL


def presentation_order(types: list[str]) -> list[int]:
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


def _unknown(data: Data, keyframe: bool) -> PictureInfo:
    return PictureInfo(True, keyframe)


def length_size(codec: str, extradata: bytes) -> int:
    """Number of bytes in a NAL unit's length prefix; 0 if units are separated by start codes (Annex B)."""
    offset = 4 if codec == "h264" else 21
    avc = extradata[:1] == b"\x01" or (codec == "hevc" and extradata[:3] not in (b"", b"\0\0\0", b"\0\0\1"))
    return (extradata[offset] & 3) + 1 if avc and len(extradata) > offset else 0


def _length_prefixed(length: int, data: Data) -> Iterator[Data]:
    offset, end = 0, len(data)
    while offset + length < end:
        size = int.from_bytes(data[offset : offset + length], "big")
        offset += length
        yield data[offset : offset + min(size, 64)]
        offset += size


def _start_coded(data: Data) -> Iterator[Data]:
    raw = bytes(data)
    offset = raw.find(b"\0\0\1")
    while offset >= 0:
        yield raw[offset + 3 : offset + 67]
        offset = raw.find(b"\0\0\1", offset + 3)


def _h264(units: Iterator[Data], keyframe: bool) -> PictureInfo:
    """Rec. ITU-T H.264, 7.3.1 and 7.4.1."""
    seen = reference = random_access = False
    for unit in units:
        unit_type = unit[0] & 31 if len(unit) else 0
        if 1 <= unit_type <= 5:
            seen, reference = True, reference or bool(unit[0] & 0x60)
            random_access = random_access or unit_type == 5
            if reference and (random_access or not keyframe):
                break  # no later unit can change the answer
        elif unit_type == 6:
            random_access = random_access or (keyframe and _recovers_at_once(unit))
    return PictureInfo(reference or not seen, random_access)


def _recovers_at_once(unit: Data) -> bool:
    """Whether the first SEI message is a recovery point with recovery_frame_cnt 0 and exact_match_flag 1 (D.1.8)."""
    offset = 1
    while offset + 2 < len(unit):
        payload_type, size = unit[offset], unit[offset + 1]
        if 255 in (payload_type, size):
            return False
        if payload_type == 6:
            return unit[offset + 2] & 0xC0 == 0xC0
        offset += 2 + size
    return False


def _hevc(units: Iterator[Data], keyframe: bool) -> PictureInfo:
    """Rec. ITU-T H.265, 7.3.1.2 and table 7-1."""
    seen = reference = random_access = False
    temporal_id = 0
    for unit in units:
        unit_type = unit[0] >> 1 & 63 if len(unit) > 1 else 63
        if unit_type < 32:
            # even types below 16 are sub-layer non-reference pictures
            seen, reference = True, reference or unit_type >= 16 or unit_type % 2 == 1
            random_access = random_access or 16 <= unit_type <= 21
            temporal_id = max(temporal_id, (unit[1] & 7) - 1)
    return PictureInfo(reference or not seen, random_access, temporal_id)


def _mpeg4(data: Data, keyframe: bool) -> PictureInfo:
    """ISO/IEC 14496-2, 6.2.5: vop_coding_type after the start code B6."""
    return _visual([_MPEG4_TYPES[unit[1] >> 6] for unit in _start_coded(data) if unit[:1] == b"\xb6" and unit[1:]])


def _mpeg2(data: Data, keyframe: bool) -> PictureInfo:
    """ISO/IEC 13818-2, 6.2.3: picture_coding_type after the start code 00 and ten bits of temporal_reference."""
    types = [unit[2] >> 3 & 7 for unit in _start_coded(data) if unit[:1] == b"\0" and len(unit) > 2]
    return _visual([_MPEG2_TYPES.get(coded, "") for coded in types])


def _vp8(data: Data, keyframe: bool) -> PictureInfo:
    """RFC 6386, 9.1: show_frame in the frame tag."""
    return PictureInfo(True, keyframe, is_shown=bool(data[0] & 0x10))


def _visual(types: list[str]) -> PictureInfo:
    # two fields of one picture may be I and P
    picture_type = types[0] if types and (types[0] == "B") == (types[-1] == "B") else ""
    return PictureInfo(picture_type != "B", picture_type == "I", picture_type=picture_type)


_MPEG4_TYPES: Final = "IPBP"
_MPEG2_TYPES: Final = {1: "I", 2: "P", 3: "B"}
_VISUAL: Final[dict[str, Parser]] = {"mpeg4": _mpeg4, "mpeg2video": _mpeg2, "mpeg1video": _mpeg2}
