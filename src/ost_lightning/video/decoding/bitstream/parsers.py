"""Coded-picture headers: whether other pictures refer to a picture, and whether decoding can start at it.

Skipping a picture is exact only if nothing depends on it. That holds for pictures that are never referenced: in H.264
those with nal_ref_idc 0, in HEVC sub-layer non-reference pictures of the highest temporal sub-layer, in MPEG-1, MPEG-2
and MPEG-4 Visual the B pictures. In VP8 and VP9 every frame may change the probabilities that the next one is decoded
with, and AV1 encoders hardly ever write a frame that refreshes no reference, so all of their frames are decoded.
"""

from typing import Final

from ost_lightning.video.decoding.bitstream.nal_units import H264Parser, HEVCParser, start_coded
from ost_lightning.video.decoding.bitstream.pictures import Data, Parser, PictureInfo


def parser_for(codec: str, extradata: bytes | None) -> Parser:
    """Returns the function that parses the pictures of a stream.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: The stream's global headers.
    """
    if codec == "h264":
        return H264Parser(extradata or b"")
    if codec == "hevc":
        return HEVCParser(extradata or b"")
    return _VISUAL.get(codec, _vp8 if codec == "vp8" else _unknown)


def reorders_by_type(codec: str) -> bool:
    """Whether presentation order follows from the picture types alone."""
    return codec in _VISUAL


def headers_contain_order(codec: str) -> bool:
    """Whether presentation order, and where decoding can start, follow from the pictures' headers."""
    return codec in _VISUAL or codec in ("h264", "hevc")


def _unknown(data: Data, keyframe: bool) -> PictureInfo:
    return PictureInfo(True, keyframe)


def _mpeg4(data: Data, keyframe: bool) -> PictureInfo:
    """ISO/IEC 14496-2, 6.2.5: vop_coding_type after the start code B6."""
    return _visual([_MPEG4_TYPES[unit[1] >> 6] for unit in start_coded(data) if unit[:1] == b"\xb6" and unit[1:2]])


def _mpeg2(data: Data, keyframe: bool) -> PictureInfo:
    """ISO/IEC 13818-2, 6.2.3: picture_coding_type after the start code 00 and ten bits of temporal_reference."""
    types = [unit[2] >> 3 & 7 for unit in start_coded(data) if unit[:1] == b"\0" and len(unit) > 2]
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
