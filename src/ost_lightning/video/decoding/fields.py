"""Joining of packets that hold one field each into packets that hold a frame.

Camcorders (AVCHD) and 1080i broadcasts code the two fields of a frame as pictures of their own, and transport streams
and raw streams store each in a packet of its own.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, cast

import av

from ost_lightning.video.decoding.bitstream import Data, SliceHeader

if TYPE_CHECKING:
    VideoPacket = av.Packet[av.VideoStream]  # PyAV's classes take no parameters at run time

FieldParser = Callable[[Data], SliceHeader | None]
"""Returns the header of a packet's only field; None for anything else."""
_UNKNOWN: Final = SliceHeader(None, 0)


def joined_fields(packets: Iterable["VideoPacket"], field_of: FieldParser) -> Iterator["VideoPacket"]:
    """Joins the packets of two fields of a frame; other packets, and fields without a second one, pass unchanged.

    Two fields in a row belong to one frame if they have the same number and opposite parity (Rec. ITU-T H.264, 3.30).

    Args:
        packets: Packets in decoding order.
        field_of: Parser of fields.
    """
    held: VideoPacket | None = None
    first = _UNKNOWN
    for packet in packets:
        second = field_of(memoryview(packet))
        if held is not None:
            if second and second.is_bottom != first.is_bottom and second.frame_number == first.frame_number:
                yield _joined(held, packet)
                held = None
                continue
            yield held
            held = None
        if second is None:
            yield packet
        else:
            held, first = packet, second
    if held is not None:
        yield held


def _joined(first: "VideoPacket", second: "VideoPacket") -> "VideoPacket":
    packet = cast("VideoPacket", av.Packet(bytes(first) + bytes(second)))
    packet.stream, packet.time_base = first.stream, first.time_base
    packet.pts, packet.dts = first.pts, first.dts
    packet.is_keyframe, packet.is_corrupt = first.is_keyframe, first.is_corrupt or second.is_corrupt
    return packet
