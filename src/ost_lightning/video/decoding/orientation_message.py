"""Search for a display orientation among the SEI messages of an H.264 or HEVC picture.

Encoders write it with the first picture or with each keyframe, and it holds for what follows. FFmpeg attaches it to
those pictures only.
"""

from collections.abc import Iterable, Iterator
from typing import Final

_START: Final = b"\0\0\1"
_DISPLAY_ORIENTATION: Final = 47
"""payloadType in Rec. ITU-T H.264, D.1.1, and H.265, D.2.1."""


def has_display_orientation(codec: str, data: bytes, length_size: int) -> bool:
    """Whether a coded picture has an SEI message with a display orientation.

    Args:
        codec: FFmpeg's name of the codec.
        data: The packet.
        length_size: Number of bytes in the length prefix of a NAL unit; 0 if units are separated by start codes.
    """
    return any(_DISPLAY_ORIENTATION in _payload_types(message) for message in _sei(codec, _units(data, length_size)))


def _sei(codec: str, units: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the SEI units that precede the picture, without their headers."""
    for unit in units:
        if codec == "h264" and unit[:1] and unit[0] & 31 == 6:
            yield unit[1:]
        elif codec == "hevc" and unit[:1] and unit[0] >> 1 & 63 == 39:
            yield unit[2:]


def _units(data: bytes, length_size: int) -> Iterator[bytes]:
    if not length_size:
        yield from (unit.rstrip(b"\0") for unit in data.split(_START)[1:])
        return
    offset = 0
    while offset + length_size < len(data):
        size = int.from_bytes(data[offset : offset + length_size], "big")
        yield data[offset + length_size : offset + length_size + size]
        offset += length_size + size


def _payload_types(unit: bytes) -> Iterator[int]:
    """Yields the types of the messages in an SEI unit; numbers above 254 begin with bytes of 255."""
    unit = unit.replace(b"\0\0\3", b"\0\0")
    offset = 0
    while offset + 2 < len(unit):
        numbers = []
        for _ in range(2):
            number = 0
            while offset < len(unit) and unit[offset] == 255:
                number, offset = number + 255, offset + 1
            if offset >= len(unit):
                return
            numbers.append(number + unit[offset])
            offset += 1
        yield numbers[0]
        offset += numbers[1]
