"""The packets of a container's video stream, one per frame, in decoding order.

The container is demultiplexed once and its packets are kept in memory; those of a large file are read again when they
are decoded, in the same order and from the beginning.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, cast

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer

from ost_lightning.video.decoding.bitstream import H264Parser, Parser, PictureInfo
from ost_lightning.video.decoding.fields import FieldParser, joined_fields
from ost_lightning.video.decoding.tracks import main_video_stream

if TYPE_CHECKING:
    VideoPacket = av.Packet[av.VideoStream]  # PyAV's classes take no parameters at run time

KEPT_BYTES: Final = 128 << 20
"""Size of the packets of one file that are kept in memory; the rest of a larger file is read again."""


@dataclass(slots=True)
class PacketHeader:
    """Properties of a packet whose payload is not kept in memory."""

    is_keyframe: bool
    size: int
    dts: int | None


class PacketList:
    """Packets of the main video stream of a container.

    A position is a packet's index in decoding order. Packets that are fetched are numbered: their `pts` is their
    position, which the decoder passes on to the frame.

    Attributes:
        presentation_times: `pts` of each packet in the container, in ticks; None where unknown.
        has_joined_fields: Whether some packets were joined of two fields.
        stored: Number of packets in the container, where a field may have a packet of its own.
        is_truncated: Whether the last packet is incomplete.
        keyframes: Positions that the container marks as keyframes, ascending.
        discarded: Positions of packets that are decoded, but not shown.

    Args:
        container: Container, opened and at its beginning.
        parse: Parser of pictures.
        unpack: Whether to split packets that hold two pictures (DivX's packed B frames).
        reopen: Function that opens the container again; None keeps all packets in memory.

    Raises:
        av.error.FFmpegError: If the container is damaged.
        ValueError: If the container has no video.
    """

    def __init__(
        self,
        container: InputContainer,
        parse: Parser,
        *,
        unpack: bool = False,
        reopen: Callable[[], InputContainer] | None = None,
    ) -> None:
        self._parse, self._unpack, self._reopen, self._next = parse, unpack, reopen, 0
        self._field_of = parse.field if isinstance(parse, H264Parser) and parse.parameter_sets.may_have_fields else None
        self._reopened: InputContainer | None = None
        self._remaining: Iterator[VideoPacket] = iter(())
        self._packets: list[VideoPacket | PacketHeader] = []
        self._pictures: dict[int, PictureInfo] = {}
        self.presentation_times: list[int | None] = []
        self.is_truncated = False
        self.keyframes: list[int] = []
        self.discarded: set[int] = set()
        self._read_all(container)

    @cached_property
    def decoding_times(self) -> list[int | None]:
        """`dts` of each packet in the container, in ticks; None where unknown."""
        return [packet.dts for packet in self._packets]

    def __len__(self) -> int:
        return len(self._packets)

    def __getitem__(self, position: int) -> "VideoPacket | PacketHeader":
        return self._packets[position]

    def picture(self, position: int) -> PictureInfo:
        """What the headers of the picture at a position say."""
        picture = self._pictures.get(position)
        if picture is None:
            packet = cast("VideoPacket", self._packets[position])  # those reduced to a header were parsed before
            picture = self._pictures[position] = self._parse(memoryview(packet), packet.is_keyframe)
        return picture

    def fetch(self, positions: Iterable[int]) -> Iterator["VideoPacket"]:
        """Yields the packets at ascending positions.

        Raises:
            ValueError: If the file has changed since it was opened.
        """
        for position in positions:
            known = self._packets[position]
            if not isinstance(known, PacketHeader):
                known.pts = position
                yield known
                continue
            if self._reopened is None or position < self._next:
                self._restart()
            packet = next(islice(self._remaining, position - self._next, None), None)
            if packet is None or packet.size != known.size:
                raise ValueError("the file has changed while it was read")
            self._next = position + 1
            packet.pts = position
            yield packet

    def _read_all(self, container: InputContainer) -> None:
        """Reads all packets; once they exceed the limit, keeps only their headers."""
        packets, times, size, first_kept = self._packets, self.presentation_times, 0, 0
        packet: VideoPacket | None = None
        limit = float("inf") if self._reopen is None else KEPT_BYTES
        counted = _StoredPackets(container)
        for packet in _one_per_frame(counted, main_video_stream(container), self._unpack, self._field_of):
            times.append(packet.pts)
            if packet.is_keyframe:
                self.keyframes.append(len(packets))
            if packet.is_discard:
                self.discarded.add(len(packets))
            packets.append(packet)
            size += packet.size
            if size > limit:
                for position in range(first_kept, len(packets)):
                    self.picture(position)
                    known = packets[position]
                    packets[position] = PacketHeader(known.is_keyframe, known.size, known.dts)
                first_kept = len(packets)
        self.is_truncated = packet is not None and packet.is_corrupt
        self.stored = counted.count
        self.has_joined_fields = self._field_of is not None and self.stored > len(packets)

    def _restart(self) -> None:
        """Starts reading the packets from the beginning of the file."""
        if self._reopened is not None:
            self._reopened.close()
        if self._reopen is None:
            raise RuntimeError("packets are only dropped from memory if the container can be reopened")
        self._reopened, self._next = self._reopen(), 0
        stream = main_video_stream(self._reopened)
        self._remaining = _one_per_frame(_StoredPackets(self._reopened), stream, self._unpack, self._field_of)


class _StoredPackets:
    """Iterates over the packets of the main video stream that are not empty, and counts them."""

    def __init__(self, container: InputContainer) -> None:
        self._container, self.count = container, 0

    def __iter__(self) -> Iterator["VideoPacket"]:
        for packet in self._container.demux(main_video_stream(self._container)):
            if packet.size:
                self.count += 1
                yield packet


def _one_per_frame(
    packets: Iterable["VideoPacket"], stream: av.VideoStream, unpack: bool, field_of: FieldParser | None
) -> Iterator["VideoPacket"]:
    """Yields packets with one frame each, where the container may store more, or single fields."""
    if field_of is not None:
        return joined_fields(packets, field_of)
    if not unpack:
        return iter(packets)
    unpacker = BitStreamFilterContext("mpeg4_unpack_bframes", stream)
    return (one for packet in chain(packets, [None]) for one in unpacker.filter(packet) if one.size)
