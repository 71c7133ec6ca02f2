"""Headers of H.264 and HEVC pictures, which consist of NAL units."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from ost_lightning.video.decoding.bitstream.parameter_sets import (
    SHORT_BYTES,
    H264ParameterSets,
    HEVCParameterSets,
    SliceHeader,
)
from ost_lightning.video.decoding.bitstream.pictures import Data, PictureInfo

_SEI_BYTES: Final = 64


class H264Parser:
    """Parses the pictures of an H.264 stream.

    Args:
        extradata: The stream's global headers, which say how NAL units are delimited.
    """

    def __init__(self, extradata: bytes) -> None:
        self._length = length_size("h264", extradata)
        self.parameter_sets = H264ParameterSets()
        self._seen: dict[int, PictureInfo] = {}
        for unit in _units_of_avcc(extradata) if self._length else start_coded(extradata):
            self._take(unit)

    def __call__(self, data: Data, keyframe: bool) -> PictureInfo:
        """Rec. ITU-T H.264, 7.3.1 and 7.4.1."""
        return (None if keyframe else self._single_slice(data)) or self._parsed(data, keyframe)

    def _single_slice(self, data: Data) -> PictureInfo | None:
        """Parses a packet that is one slice of a frame, as most are, in a third of the time; None if it may be another.

        Pictures repeat what others of the stream say, so that it is kept.
        """
        start = self._length
        head = bytes(data[start : start + 1 + SHORT_BYTES])
        # zeros may be followed by a byte of emulation prevention
        if not start or len(head) <= SHORT_BYTES or head[0] & 31 != 1 or 0 in head:
            return None
        place = self.parameter_sets.order_places.get(head[1])
        if place is None:
            return None
        shift, mask, period = place
        first, count = head[0], int.from_bytes(head, "big") >> shift & mask
        if not (first & 0x60 or int.from_bytes(data[:start], "big") + start == len(data)):
            return None
        key = count << 8 | first
        picture = self._seen.get(key)
        if picture is None or picture.order_period != period:
            picture = self._seen[key] = PictureInfo(first & 0x60 != 0, False, order_count=count, order_period=period)
        return picture

    def _parsed(self, data: Data, keyframe: bool) -> PictureInfo:
        header: SliceHeader | None = None
        seen = reference = random_access = restarts = False
        for unit in self._units(data):
            first = unit[0] if len(unit) else 0
            unit_type = first & 31
            if 1 <= unit_type <= 5:
                if not seen:
                    seen, header = True, self.parameter_sets.slice_header(unit)
                reference = reference or bool(first & 0x60)
                restarts = restarts or unit_type == 5
                if reference and (restarts or random_access or not keyframe):
                    break  # no later unit can change the answer
            elif unit_type == 6:
                random_access = random_access or (keyframe and _recovers_at_once(unit[:_SEI_BYTES]))
            elif unit_type in (7, 8):
                self._take(unit)
        count, period = (None, 0) if header is None else (header.order_count, header.order_period)
        return PictureInfo(reference or not seen, restarts or random_access, 0, "", True, count, period, restarts)

    def field(self, data: Data) -> SliceHeader | None:
        """Returns the header of a packet's only field; None if the packet contains a whole frame or no picture."""
        first: SliceHeader | None = None
        for unit in self._units(data):
            unit_type = unit[0] & 31 if len(unit) else 0
            if unit_type in (7, 8):
                self._take(unit)
            elif unit_type in (1, 2, 5):
                header = self.parameter_sets.slice_header(unit)
                if header is None or not header.is_field or (first and first.is_bottom != header.is_bottom):
                    return None
                first = header
        return first

    def _units(self, data: Data) -> Iterable[Data]:
        return _length_prefixed(self._length, data) if self._length else start_coded(data)

    def _take(self, unit: Data) -> None:
        if len(unit) and unit[0] & 31 in (7, 8):
            with suppress(ValueError):  # the decoder reports the damage
                self.parameter_sets.add(unit)


class HEVCParser:
    """Parses the pictures of an HEVC stream.

    Args:
        extradata: The stream's global headers, which say how NAL units are delimited.
    """

    def __init__(self, extradata: bytes) -> None:
        self._length = length_size("hevc", extradata)
        self._parameter_sets = HEVCParameterSets()
        for unit in _units_of_hvcc(extradata) if self._length else start_coded(extradata):
            self._take(unit)

    def __call__(self, data: Data, keyframe: bool) -> PictureInfo:
        """Rec. ITU-T H.265, 7.3.1.2 and table 7-1."""
        header: SliceHeader | None = None
        seen = reference = random_access = restarts = False
        temporal_id = 0
        for unit in _length_prefixed(self._length, data) if self._length else start_coded(data):
            unit_type = unit[0] >> 1 & 63 if len(unit) > 1 else 63
            if unit_type < 32:
                header = header or self._parameter_sets.slice_header(unit)
                # even types below 16 are sub-layer non-reference pictures
                seen, reference = True, reference or unit_type >= 16 or unit_type % 2 == 1
                random_access = random_access or 16 <= unit_type <= 21
                restarts = restarts or unit_type in (19, 20)
                temporal_id = max(temporal_id, (unit[1] & 7) - 1)
            elif unit_type in (33, 34):
                self._take(unit)
        return PictureInfo(
            reference or not seen,
            random_access,
            temporal_id,
            "",
            True,
            header.order_count if header else None,
            header.order_period if header else 0,
            restarts,
        )

    def _take(self, unit: Data) -> None:
        if len(unit) > 1 and unit[0] >> 1 & 63 in (33, 34):
            with suppress(ValueError):  # the decoder reports the damage
                self._parameter_sets.add(unit)


def length_size(codec: str, extradata: bytes) -> int:
    """Number of bytes in a NAL unit's length prefix; 0 if units are separated by start codes (Annex B)."""
    offset = 4 if codec == "h264" else 21
    avc = extradata[:1] == b"\x01" or (codec == "hevc" and extradata[:3] not in (b"", b"\0\0\0", b"\0\0\1"))
    return (extradata[offset] & 3) + 1 if avc and len(extradata) > offset else 0


def start_coded(data: Data) -> Iterator[Data]:
    """Yields what follows each start code, to the end of the data."""
    raw = bytes(data)
    view = memoryview(raw)
    offset = raw.find(b"\0\0\1")
    while offset >= 0:
        yield view[offset + 3 :]
        offset = raw.find(b"\0\0\1", offset + 3)


def _length_prefixed(length: int, data: Data) -> list[Data]:
    units, offset, end = [], 0, len(data)
    while offset + length < end:
        start = offset + length
        offset = start + int.from_bytes(data[offset:start], "big")
        units.append(data[start:offset])
    return units


def _units_of_avcc(data: Data) -> Iterator[Data]:
    """ISO/IEC 14496-15, 5.3.3.1: sequence, then picture parameter sets."""
    offset = 5
    for mask in (31, 255):
        count = data[offset] & mask if len(data) > offset else 0
        offset += 1
        for _ in range(count):
            size = int.from_bytes(data[offset : offset + 2], "big")
            yield data[offset + 2 : offset + 2 + size]
            offset += 2 + size


def _units_of_hvcc(data: Data) -> Iterator[Data]:
    """ISO/IEC 14496-15, 8.3.3.1: arrays of parameter sets."""
    offset = 23
    for _ in range(data[22] if len(data) > 22 else 0):
        count = int.from_bytes(data[offset + 1 : offset + 3], "big")
        offset += 3
        for _ in range(count):
            size = int.from_bytes(data[offset : offset + 2], "big")
            yield data[offset + 2 : offset + 2 + size]
            offset += 2 + size


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
