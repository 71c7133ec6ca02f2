"""H.264 whose frames are coded as two fields each, as camcorders (AVCHD) and 1080i broadcasts write it.

No encoder at hand makes such streams, so their bits are written here. Every macroblock holds raw samples (I_PCM).
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

SIDE = 32


class BitWriter:
    def __init__(self) -> None:
        self._bits = ""

    def fixed(self, *fields: tuple[int, int]) -> "BitWriter":
        """Appends numbers, each with its number of bits."""
        self._bits += "".join(f"{value:0{count}b}" for value, count in fields)
        return self

    def golomb(self, *values: int) -> "BitWriter":
        """Appends Exp-Golomb codes."""
        self._bits += "".join(f"{value + 1:0{2 * (value + 1).bit_length() - 1}b}" for value in values)
        return self

    def samples(self, values: bytes) -> "BitWriter":
        """Appends bytes at the next byte boundary."""
        self._bits += "0" * (-len(self._bits) % 8) + "".join(f"{value:08b}" for value in values)
        return self

    def unit(self, reference: int, unit_type: int) -> bytes:
        """Returns a NAL unit with its start code."""
        bits = self._bits + "1"
        bits += "0" * (-len(bits) % 8)
        data = int(bits, 2).to_bytes(len(bits) // 8, "big")
        for low in range(4):
            data = data.replace(bytes((0, 0, low)), bytes((0, 0, 3, low)))
        return b"\0\0\0\1" + bytes([reference << 5 | unit_type]) + data


def parameter_sets(delay: int) -> bytes:
    """Returns both parameter sets, for pictures that are shown at most `delay` frames after they are decoded."""
    sequence = BitWriter().fixed((77, 8), (0, 8), (30, 8)).golomb(0, 0, 0, 4, 2).fixed((0, 1)).golomb(1, 0)
    sequence.fixed((0, 1), (0, 1), (1, 1), (0, 1))  # fields, whole frames only in their own units, no cropping
    sequence.fixed((1, 1), (0, 8), (1, 1), (1, 1)).golomb(0, 0, 10, 10, delay, 2)
    picture = BitWriter().golomb(0, 0).fixed((0, 2)).golomb(0, 0, 0).fixed((0, 3)).golomb(0, 0, 0).fixed((4, 3))
    return sequence.unit(3, 7) + picture.unit(3, 8)


def gray(index: int, bottom: bool) -> int:
    """Gray of a field of a frame."""
    return 16 + 18 * index + 9 * bottom


def coded_field(index: int, number: int, bottom: bool, *, reference: bool, first: bool) -> bytes:
    bits = BitWriter().golomb(0, 7, 0).fixed((number % 16, 4), (1, 1), (bottom, 1))
    restarts = first and not bottom
    if restarts:
        bits.golomb(0)
    bits.fixed((2 * index + bottom, 8))
    if reference:
        bits.fixed((0, 2 if restarts else 1))
    bits.golomb(0, 1)
    for _ in range(2):  # macroblocks
        bits.golomb(25).samples(bytes([gray(index, bottom)] * 256 + [128] * 128))
    return bits.unit(2 if reference else 0, 5 if restarts else 1)


def write_field_coded(
    folder: Path, order: Sequence[int], references: Sequence[int], name: str = "fields"
) -> list[Path]:
    """Writes a raw stream and a transport stream with a packet per field.

    Args:
        folder: Folder for `name.264` and `name.ts`.
        order: Frames in decoding order, beginning with 0; presentation order is 0, 1, ...
        references: Frames that others may refer to.
        name: Name of the files.
    """
    delay = max(sum(later < index for later in order[place:]) > 0 for place, index in enumerate(order))
    fields, number = [], 0
    for place, index in enumerate(order):
        for bottom in (False, True):
            coded = coded_field(index, number, bottom, reference=index in references, first=place == 0)
            fields.append(coded if place or bottom else parameter_sets(delay) + coded)
        number += index in references
    raw, stream = folder / f"{name}.264", folder / f"{name}.ts"
    raw.write_bytes(b"".join(fields))
    with av.open(str(raw)) as source, av.open(str(stream), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        for place, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            packet.time_base, packet.dts, packet.stream = Fraction(1, 50), place, copy
            packet.pts = 2 * (order[place // 2] + delay) + place % 2
            target.mux(packet)
    return [raw, stream]
