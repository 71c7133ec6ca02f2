"""Parameter sets of H.264 and HEVC, as far as the header of a slice can't be read without them."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ost_lightning.video.decoding.bitstream.pictures import Data

_WITH_CHROMA_FORMAT: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""H.264 profiles whose sequence parameter set contains the chroma format and scaling lists."""
_SET_BYTES: Final = 1024
_SLICE_BYTES: Final = 20
SHORT_BYTES: Final = 6
"""Bytes that contain the order count of a slice whose first byte contains the codes before its numbers."""


class Bits:
    """Reads the bits of a NAL unit.

    Reading past the end raises ValueError.

    Args:
        data: Payload, with emulation prevention bytes.
    """

    __slots__ = ("_left", "_rest")

    def __init__(self, data: bytes) -> None:
        if b"\0\0\3" in data:
            data = data.replace(b"\0\0\3", b"\0\0")
        self._rest, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        """Reads an unsigned number of `count` bits."""
        self._left -= count
        number = self._rest >> self._left
        self._rest -= number << self._left
        return number

    def exp_golomb(self) -> int:
        """Reads an unsigned Exp-Golomb code (Rec. ITU-T H.264, 9.1)."""
        self._left = 2 * self._rest.bit_length() - self._left - 1
        number = self._rest >> self._left
        self._rest -= number << self._left
        return number - 1

    def signed_exp_golomb(self) -> int:
        """Reads a signed Exp-Golomb code (Rec. ITU-T H.264, 9.1.1)."""
        code = self.exp_golomb()
        return (code + 1) // 2 if code % 2 else -code // 2


class SliceHeader(NamedTuple):
    """Beginning of a slice's header.

    Attributes:
        order_count: Picture order count modulo `order_period`; None if it is not coded as a number of bits.
        order_period: Period of the order count; 0 if pictures are shown in decoding order.
        frame_number: frame_num of H.264.
        is_field: Whether the picture is one field of a frame.
        is_bottom: Whether it is the bottom field.
    """

    order_count: int | None
    order_period: int
    frame_number: int = 0
    is_field: bool = False
    is_bottom: bool = False


class _H264Sequence:
    """What a sequence parameter set says about the headers of slices."""

    def __init__(self, number_bits: int, order_type: int, order_bits: int, only_frames: bool, planes: bool) -> None:
        self.number_bits, self.number_mask = number_bits, (1 << number_bits) - 1
        self.order_bits, self.order_mask = order_bits, (1 << order_bits) - 1
        self.order_type, self.order_period = order_type, 1 << order_bits if order_type == 0 else 0
        self.only_frames, self.separate_planes = only_frames, planes


@dataclass(slots=True)
class H264ParameterSets:
    """Parameter sets of an H.264 stream (Rec. ITU-T H.264, 7.3.2)."""

    _sequences: dict[int, _H264Sequence] = field(default_factory=dict)
    _sequence_of: dict[int, int] = field(default_factory=dict)
    order_places: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """Shift, mask and period of the order count in the first `SHORT_BYTES` bytes of a slice of a frame that does not
    restart the order, by the first of these bytes; as far as slices have shown that it determines them."""

    @property
    def may_have_fields(self) -> bool:
        """Whether pictures may be single fields; True as long as no sequence parameter set is known."""
        return not all(sequence.only_frames for sequence in self._sequences.values()) or not self._sequences

    def add(self, unit: Data) -> None:
        """Takes a NAL unit of type 7 or 8.

        Raises:
            ValueError: If it is damaged.
        """
        self.order_places.clear()
        bits = Bits(bytes(unit[1:_SET_BYTES]))
        if unit[0] & 31 == 8:
            picture = bits.exp_golomb()
            self._sequence_of[picture] = bits.exp_golomb()
            return
        profile, _, number = bits.read(8), bits.read(16), bits.exp_golomb()
        separate_planes = False
        if profile in _WITH_CHROMA_FORMAT:
            chroma_format = bits.exp_golomb()
            separate_planes = chroma_format == 3 and bool(bits.read(1))
            bits.exp_golomb()  # bit depths
            bits.exp_golomb()
            bits.read(1)  # lossless
            if bits.read(1):
                for index in range(12 if chroma_format == 3 else 8):
                    if bits.read(1):
                        _skip_scaling_list(bits, 16 if index < 6 else 64)
        number_bits, order_type, order_bits = bits.exp_golomb() + 4, bits.exp_golomb(), 0
        if order_type == 0:
            order_bits = bits.exp_golomb() + 4
        elif order_type == 1:
            bits.read(1)
            bits.exp_golomb()  # offsets, signed
            bits.exp_golomb()
            for _ in range(bits.exp_golomb()):
                bits.exp_golomb()
        bits.exp_golomb()  # number of reference frames
        bits.read(1)
        bits.exp_golomb()  # size
        bits.exp_golomb()
        self._sequences[number] = _H264Sequence(
            number_bits, order_type, order_bits, only_frames=bool(bits.read(1)), planes=separate_planes
        )

    def slice_header(self, unit: Data) -> SliceHeader | None:
        """Parses the beginning of a slice, a NAL unit of type 1, 2 or 5 (7.3.3); None if it is damaged.

        It runs once per picture of a file, and reads bits without `Bits`, which would take twice as long.
        """
        data = bytes(unit[1:_SLICE_BYTES])
        if b"\0\0\3" in data:
            data = data.replace(b"\0\0\3", b"\0\0")
        rest, left = int.from_bytes(data, "big"), 8 * len(data)
        try:
            # first macroblock, type and picture parameter set: Exp-Golomb codes
            left = 2 * rest.bit_length() - left - 1
            rest &= (1 << left) - 1
            left = 2 * rest.bit_length() - left - 1
            rest &= (1 << left) - 1
            left = 2 * rest.bit_length() - left - 1
            code = rest >> left
            sequence = self._sequences[self._sequence_of[code - 1]]
            used = 8 * len(data) - left
            if used <= 8 and sequence.only_frames and sequence.order_period:
                shift = 8 * SHORT_BYTES - used - 2 * sequence.separate_planes - sequence.number_bits
                self.order_places[data[0]] = shift - sequence.order_bits, sequence.order_mask, sequence.order_period
            left -= sequence.number_bits + 2 * sequence.separate_planes
            number = rest >> left & sequence.number_mask
            is_field = is_bottom = False
            if not sequence.only_frames:
                left -= 1
                is_field = bool(rest >> left & 1)
                if is_field:
                    left -= 1
                    is_bottom = bool(rest >> left & 1)
            if unit[0] & 31 == 5:  # number of the IDR picture
                rest &= (1 << left) - 1
                left = 2 * rest.bit_length() - left - 1
            count = rest >> left - sequence.order_bits & sequence.order_mask
        except (ValueError, KeyError):
            return None
        return SliceHeader(
            None if sequence.order_type == 1 else count, sequence.order_period, number, is_field, is_bottom
        )


@dataclass(slots=True)
class HEVCParameterSets:
    """Parameter sets of an HEVC stream (Rec. ITU-T H.265, 7.3.2)."""

    _sequences: dict[int, tuple[bool, int]] = field(default_factory=dict)
    """Per sequence: whether its planes are coded separately, and the number of bits of an order count."""
    _pictures: dict[int, tuple[int, bool, int]] = field(default_factory=dict)
    """Per picture parameter set: its sequence, whether slices say if they are shown, and their number of extra bits."""

    def add(self, unit: Data) -> None:
        """Takes a NAL unit of type 33 or 34.

        Raises:
            ValueError: If it is damaged.
        """
        bits = Bits(bytes(unit[2:_SET_BYTES]))
        if unit[0] >> 1 & 63 == 34:
            picture, sequence = bits.exp_golomb(), bits.exp_golomb()
            bits.read(1)
            self._pictures[picture] = sequence, bool(bits.read(1)), bits.read(3)
            return
        bits.read(4)
        layers = bits.read(3)
        bits.read(1 + 96)  # nesting, general profile and level
        present = [(bits.read(1), bits.read(1)) for _ in range(layers)]
        bits.read(2 * (8 - layers) if layers else 0)
        for profile, level in present:
            bits.read(88 * profile + 8 * level)
        number = bits.exp_golomb()
        separate_planes = bits.exp_golomb() == 3 and bool(bits.read(1))
        bits.exp_golomb()  # size
        bits.exp_golomb()
        for _ in range(4 * bits.read(1)):  # conformance window
            bits.exp_golomb()
        bits.exp_golomb()  # bit depths
        bits.exp_golomb()
        self._sequences[number] = separate_planes, bits.exp_golomb() + 4

    def slice_header(self, unit: Data) -> SliceHeader | None:
        """Parses the beginning of a picture's first slice (7.3.6.1); None for other slices or if it is damaged."""
        bits, unit_type = Bits(bytes(unit[2:_SLICE_BYTES])), unit[0] >> 1 & 63
        try:
            if not bits.read(1):
                return None
            if 16 <= unit_type <= 23:
                bits.read(1)
            sequence, tells_output, extra = self._pictures[bits.exp_golomb()]
            separate_planes, order_bits = self._sequences[sequence]
            bits.read(extra)
            bits.exp_golomb()  # type
            bits.read(tells_output + 2 * separate_planes)
            count = 0 if unit_type in (19, 20) else bits.read(order_bits)
        except (ValueError, KeyError):
            return None
        return SliceHeader(count, 1 << order_bits)


def _skip_scaling_list(bits: Bits, size: int) -> None:
    """Rec. ITU-T H.264, 7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_exp_golomb()) % 256
        last = following or last
