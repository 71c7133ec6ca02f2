"""The video stream of a container: its packets, their presentation order, and decoding as few of them as possible.

The container is demultiplexed once and its packets are kept in memory; those of a large file are read again when they
are decoded, in the same order and from the beginning. Decoding starts at the last random access point before a wanted
picture and ends with the last wanted picture that depends on it. Pictures that are neither wanted nor referenced are
skipped.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, cast

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer

from ost_lightning.video.decoding.bitstream import (
    PictureInfo,
    length_size,
    parser_for,
    presentation_order,
    reorders_by_type,
)
from ost_lightning.video.decoding.orientation_message import has_display_orientation
from ost_lightning.video.decoding.tracks import main_video_stream

if TYPE_CHECKING:
    VideoPacket = av.Packet[av.VideoStream]  # PyAV's classes take no parameters at run time

UNTIMED_CONTAINERS: Final = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo"})
"""Formats without presentation times, for which FFmpeg fills in times that are wrong if there are B pictures."""
KEPT_BYTES: Final = 128 << 20
"""Size of the packets of one file that are kept in memory; the rest of a larger file is read again."""
_NOT_CODED: Final = 20
"""Size in bytes below which an MPEG-4 picture may just repeat the previous one and give no frame."""


@dataclass(slots=True)
class PacketHeader:
    """Properties of a packet whose payload is not kept in memory."""

    pts: int | None
    is_keyframe: bool
    is_discard: bool
    size: int


class CodedStream:
    """Packets of a video stream and its decoder.

    A position is a packet's index in decoding order.

    Attributes:
        codec: The decoder.
        presentation_order: Positions of the shown pictures, in presentation order.
        declares_orientation: Whether the first picture says how the video has to be turned or mirrored.
        missing_frames: Number of pictures that the container's index lists but the file does not contain.

    Args:
        container: Container, opened and at its beginning.
        threads: Decoding threads.
        reopen: Function that opens the container again; None keeps all packets in memory.

    Raises:
        av.error.FFmpegError: If the container is damaged or, for containers without times, if the stream is.
        ValueError: If the container has no video.
    """

    def __init__(
        self, container: InputContainer, threads: int = 1, reopen: Callable[[], InputContainer] | None = None
    ) -> None:
        stream = main_video_stream(container)
        self.codec = stream.codec_context
        self.codec.thread_type, self.codec.thread_count = "SLICE", threads
        # a damaged picture is an error instead of being concealed
        strictness = {"err_detect": "explode"}
        if self.codec.name == "h264":
            # takes the reordering depth from the standard instead of guessing it, which drops pictures
            strictness["strict"] = "1"
        self.codec.options = self.codec.options | strictness
        self._parse = parser_for(self.codec.name, self.codec.extradata)
        untimed = bool(UNTIMED_CONTAINERS.intersection(container.format.name.split(",")))
        self._unpack = untimed and self.codec.name == "mpeg4"
        self._reopen, self._next = reopen, 0
        self._reopened: InputContainer | None = None
        self._remaining: Iterator[VideoPacket] = iter(())
        self._packets: list[VideoPacket | PacketHeader] = []
        self._pictures: dict[int, PictureInfo] = {}
        self._read_packets(container)
        # the sample index of an MP4 file says how many packets there should be
        indexed = len(stream.index_entries) if "mp4" in container.format.name.split(",") else 0
        self.missing_frames = max(0, indexed - len(self._packets))
        self._random_access_points = [
            position
            for position, packet in enumerate(self._packets)
            if packet.is_keyframe and self._picture(position).is_random_access_point
        ]
        self._highest_temporal_id = (
            max((self._picture(position).temporal_id for position in range(len(self._packets))), default=0)
            if self.codec.name == "hevc"
            else 0
        )
        self.declares_orientation = self._declares_orientation()
        times = [packet.pts for packet in self._packets]
        known = [time for time in times if time is not None]
        self._times = known
        self._position_at = {time: position for position, time in enumerate(known)}
        if not untimed and len(self._position_at) == len(times):
            self.presentation_order = self._order_by_times()
            self._time_base = Fraction(stream.time_base or 0)
        else:
            self.presentation_order = self._order_without_times()
            rank = {position: k for k, position in enumerate(self.presentation_order)}
            self._times = [rank.get(position, -1) for position in range(len(self._packets))]
            self._time_base = 1 / Fraction(stream.average_rate or 25)

    @cached_property
    def seconds(self) -> list[float]:
        """Time of each frame from the first one on; by the average rate if the container has no times."""
        first = self._times[self.presentation_order[0]] if self.presentation_order else 0
        unit = self._time_base
        return [
            (self._times[position] - first) * unit.numerator / unit.denominator for position in self.presentation_order
        ]

    def frames(self, wanted: Collection[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decodes the pictures at some positions and yields each with its position.

        Raises:
            av.error.FFmpegError: If decoding fails.
        """
        missing = set(wanted)
        # parsed before decoding begins, because decoding evicts all of it from the processor's caches
        runs = [
            [position for position in range(start, last + 1) if position in missing or self._is_needed(position)]
            for start, last in self._runs(missing)
        ]
        for positions in runs:
            yield from self._decode(positions, missing)
        if missing:  # frames missing from a partial decode may appear in a full one
            yield from self._decode(range(len(self._packets)), missing)

    def decodable(self) -> int:
        """Counts the frames that can be decoded before decoding fails."""
        count = 0
        self.codec.flush_buffers()
        try:
            for _ in self._feed(range(len(self._packets))):
                count += 1
        except (av.error.FFmpegError, ValueError):
            return count
        return count

    def _read_packets(self, container: InputContainer) -> None:
        """Reads all packets; once they exceed the limit, keeps only their headers."""
        packets, size, first_kept = self._packets, 0, 0
        limit = float("inf") if self._reopen is None else KEPT_BYTES
        for packet in _demultiplex(container, self._unpack):
            packets.append(packet)
            size += packet.size
            if size > limit:
                for position in range(first_kept, len(packets)):
                    self._picture(position)
                    known = packets[position]
                    packets[position] = PacketHeader(known.pts, known.is_keyframe, known.is_discard, known.size)
                first_kept = len(packets)

    def _fetch(self, positions: Iterable[int]) -> Iterator["VideoPacket"]:
        """Yields the packets at ascending positions."""
        for position in positions:
            known = self._packets[position]
            if not isinstance(known, PacketHeader):
                yield known
                continue
            if self._reopened is None or position < self._next:
                self._restart()
            packet = next(islice(self._remaining, position - self._next, None), None)
            if packet is None or packet.size != known.size:
                raise ValueError("the file has changed while it was read")
            self._next = position + 1
            packet.pts = known.pts
            yield packet

    def _restart(self) -> None:
        """Starts reading the packets from the beginning of the file."""
        if self._reopened is not None:
            self._reopened.close()
        if self._reopen is None:
            raise RuntimeError("packets are only dropped from memory if the container can be reopened")
        self._reopened, self._next = self._reopen(), 0
        self._remaining = _demultiplex(self._reopened, self._unpack)

    def _declares_orientation(self) -> bool:
        if self.codec.name not in ("h264", "hevc") or not self._packets:
            return False
        prefix = length_size(self.codec.name, self.codec.extradata or b"")
        return has_display_orientation(self.codec.name, bytes(next(self._fetch([0]))), prefix)

    def _order_by_times(self) -> list[int]:
        shown = [position for position, packet in enumerate(self._packets) if not packet.is_discard]
        if self.codec.name == "vp8":
            shown = [position for position in shown if self._picture(position).is_shown]
        shown.sort(key=self._times.__getitem__)
        # a stream that was cut may be undecodable up to its first random access point
        decodable_from_start = self._random_access_points[:1] == [0] and not any(
            self._times[position] < self._times[0] for position in shown[:1]
        )
        return shown if decodable_from_start and self._all_coded() else self._order_by_decoding()

    def _order_without_times(self) -> list[int]:
        """Numbers the packets; the order follows from the picture types where it can, else from a full decode."""
        for position, packet in enumerate(self._packets):
            packet.pts = position
        self._position_at = {position: position for position in range(len(self._packets))}
        if reorders_by_type(self.codec.name):
            types = [self._picture(position).picture_type for position in range(len(self._packets))]
            if self._all_coded() and types[:1] == ["I"] and types[1:2] != ["B"] and "" not in types:
                return presentation_order(types)
        return self._order_by_decoding()

    def _order_by_decoding(self) -> list[int]:
        return [position for position, _ in self._decode_all(range(len(self._packets)))]

    def _all_coded(self) -> bool:
        return self.codec.name != "mpeg4" or all(packet.size >= _NOT_CODED for packet in self._packets)

    def _picture(self, position: int) -> PictureInfo:
        picture = self._pictures.get(position)
        if picture is None:
            packet = cast("VideoPacket", self._packets[position])  # those reduced to a header were parsed before
            picture = self._pictures[position] = self._parse(memoryview(packet), packet.is_keyframe)
        return picture

    def _is_needed(self, position: int) -> bool:
        """Whether another picture may depend on this one."""
        picture = self._picture(position)
        return picture.is_reference or picture.temporal_id < self._highest_temporal_id

    def _runs(self, wanted: Collection[int]) -> list[tuple[int, int]]:
        """First and last position of each run of packets that has to be decoded."""
        starts = self._random_access_points
        starts = starts if starts[:1] == [0] else [0, *starts]
        last_of: dict[int, int] = {}
        for position in wanted:
            k = bisect_right(starts, position) - 1
            if k > 0 and self._times[position] < self._times[starts[k]]:
                k -= 1  # it refers to pictures before its random access point
            last_of[starts[k]] = max(position, last_of.get(starts[k], 0))
        runs: list[tuple[int, int]] = []
        for start, last in sorted(last_of.items()):
            if runs and start <= runs[-1][1]:
                runs[-1] = (runs[-1][0], max(runs[-1][1], last))
            else:
                runs.append((start, last))
        return runs

    def _decode(self, positions: Iterable[int], missing: set[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for position, frame in self._decode_all(positions):
            if position in missing:
                missing.remove(position)
                yield position, frame

    def _decode_all(self, positions: Iterable[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for frame in self._feed(positions):
            if frame.pts is not None and frame.pts in self._position_at:
                yield self._position_at[frame.pts], frame

    def _feed(self, positions: Iterable[int]) -> Iterator[av.VideoFrame]:
        for packet in self._fetch(positions):
            yield from self.codec.decode(packet)
        yield from self.codec.decode(None)
        self.codec.flush_buffers()


def _demultiplex(container: InputContainer, unpack: bool) -> Iterator["VideoPacket"]:
    """Yields all packets in decoding order.

    Args:
        container: Container, opened and at its beginning.
        unpack: Whether to split packets that hold two pictures (DivX's packed B frames).
    """
    stream = main_video_stream(container)
    packets = (packet for packet in container.demux(stream) if packet.size)
    if not unpack:
        return packets
    unpacker = BitStreamFilterContext("mpeg4_unpack_bframes", stream)
    return (one for packet in chain(packets, [None]) for one in unpacker.filter(packet) if one.size)
