"""The video stream of a container: its packets, their order in presentation, and decoding no more of them than needed.

The container is demultiplexed once and the packets are kept; those of a large file are read again instead, in the same
order and from the beginning, when they are decoded. Decoding starts at the last picture before a wanted one
that everything after it can be decoded from, ends with the last wanted picture of such a run, and leaves out pictures
that are not wanted and that nothing refers to.
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
from av.stream import Disposition

from ost_lightning.video.decoding.bitstream import Traits, parser_for, presentation_order, reorders_by_kind

if TYPE_CHECKING:
    VideoPacket = av.Packet[av.VideoStream]  # PyAV's classes take no parameters at run time

UNTIMED_CONTAINERS: Final = frozenset({"avi", "h264", "hevc", "m4v", "mpegvideo"})
"""Formats without presentation times: FFmpeg fills in what does not hold with B pictures."""
KEPT_BYTES: Final = 128 << 20
"""Of packets in memory; those of a larger file are not kept."""
_NOT_CODED: Final = 20
"""Bytes below which an MPEG-4 picture may be one that repeats the last and gives no frame."""


@dataclass(slots=True)
class _Head:
    """What is kept of a packet whose bytes are not."""

    pts: int | None
    is_keyframe: bool
    is_discard: bool
    size: int


def shown_stream(container: InputContainer) -> av.VideoStream:
    """The first video stream that is not a cover's picture.

    Raises:
        ValueError: If there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise ValueError("the file has no video stream")


class CodedStream:
    """Packets of a video stream and its decoder.

    A place is a packet's number in decoding order.

    Attributes:
        codec: The decoder.
        order: Places of the shown pictures, in presentation order.
        lacking: Pictures that the container's index lists and that are not there.

    Args:
        container: Opened, at its beginning.
        threads: Decoding threads.
        open_again: Opens the container once more; without it all packets are kept.

    Raises:
        av.error.FFmpegError: If the container is damaged; if it has no times, also if the stream is.
        ValueError: If it has no video.
    """

    def __init__(
        self, container: InputContainer, threads: int = 1, open_again: Callable[[], InputContainer] | None = None
    ) -> None:
        stream = shown_stream(container)
        self.codec = stream.codec_context
        self.codec.thread_type, self.codec.thread_count = "SLICE", threads
        # a damaged picture is an error, not something made up
        strictness = {"err_detect": "explode"}
        if self.codec.name == "h264":
            # how far pictures are reordered is told by the standard, not found out by dropping some
            strictness["strict"] = "1"
        self.codec.options = self.codec.options | strictness
        self._parse = parser_for(self.codec.name, self.codec.extradata)
        untimed = bool(UNTIMED_CONTAINERS.intersection(container.format.name.split(",")))
        self._unpack = untimed and self.codec.name == "mpeg4"
        self._open_again, self._next = open_again, 0
        self._again: InputContainer | None = None
        self._remaining: Iterator[VideoPacket] = iter(())
        self._packets: list[VideoPacket | _Head] = []
        self._traits: dict[int, Traits] = {}
        self._read_packets(container)
        # an index of samples (MP4) tells how many there should be
        indexed = len(stream.index_entries) if "mp4" in container.format.name.split(",") else 0
        self.lacking = max(0, indexed - len(self._packets))
        self._entries = [p for p, packet in enumerate(self._packets) if packet.is_keyframe and self._trait(p).entry]
        self._top_layer = (
            max((self._trait(place).layer for place in range(len(self._packets))), default=0)
            if self.codec.name == "hevc"
            else 0
        )
        times = [packet.pts for packet in self._packets]
        known = [time for time in times if time is not None]
        self._moments = known
        self._place_of = {time: place for place, time in enumerate(known)}
        if not untimed and len(self._place_of) == len(times):
            self.order = self._by_time()
            self._unit = Fraction(stream.time_base or 0)
        else:
            self.order = self._by_number()
            rank = {place: k for k, place in enumerate(self.order)}
            self._moments = [rank.get(place, -1) for place in range(len(self._packets))]
            self._unit = 1 / Fraction(stream.average_rate or 25)

    @cached_property
    def seconds(self) -> list[float]:
        """When each picture is shown, from the first one on; by the mean rate where the container has no times."""
        first = self._moments[self.order[0]] if self.order else 0
        unit = self._unit
        return [(self._moments[place] - first) * unit.numerator / unit.denominator for place in self.order]

    def frames(self, wanted: Collection[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decodes the pictures at some places, and yields them with their places.

        Raises:
            av.error.FFmpegError: If decoding fails.
        """
        missing = set(wanted)
        # looked at before decoding begins, which leaves nothing of this in the processor's caches
        runs = [
            [p for p in range(start, last + 1) if p in missing or self._needed(p)]
            for start, last in self._runs(missing)
        ]
        for places in runs:
            yield from self._decode(places, missing)
        if missing:  # what does not come out of its run may come out of the whole
            yield from self._decode(range(len(self._packets)), missing)

    def decodable(self) -> int:
        """How many frames come out before decoding fails."""
        count = 0
        self.codec.flush_buffers()
        try:
            for _ in self._feed(range(len(self._packets))):
                count += 1
        except (av.error.FFmpegError, ValueError):
            return count
        return count

    def _read_packets(self, container: InputContainer) -> None:
        """Takes all packets in, or what is needed to know of them."""
        packets, size, first_let_go = self._packets, 0, 0
        limit = float("inf") if self._open_again is None else KEPT_BYTES
        for packet in _demultiplex(container, self._unpack):
            packets.append(packet)
            size += packet.size
            if size > limit:
                for place in range(first_let_go, len(packets)):
                    self._trait(place)
                    known = packets[place]
                    packets[place] = _Head(known.pts, known.is_keyframe, known.is_discard, known.size)
                first_let_go = len(packets)

    def _fetch(self, places: Iterable[int]) -> Iterator["VideoPacket"]:
        """The packets at ascending places."""
        for place in places:
            known = self._packets[place]
            if not isinstance(known, _Head):
                yield known
                continue
            if self._again is None or place < self._next:
                self._begin_again()
            packet = next(islice(self._remaining, place - self._next, None), None)
            if packet is None or packet.size != known.size:
                raise ValueError("the file has changed while it was read")
            self._next = place + 1
            packet.pts = known.pts
            yield packet

    def _begin_again(self) -> None:
        if self._again is not None:
            self._again.close()
        if self._open_again is None:
            raise RuntimeError("packets are only let go of if the container can be opened again")
        self._again, self._next = self._open_again(), 0
        self._remaining = _demultiplex(self._again, self._unpack)

    def _by_time(self) -> list[int]:
        shown = [p for p, packet in enumerate(self._packets) if not packet.is_discard]
        if self.codec.name == "vp8":
            shown = [place for place in shown if self._trait(place).shown]
        shown.sort(key=self._moments.__getitem__)
        # before its first entry, as a cut leaves it, a stream may be undecodable
        whole = self._entries[:1] == [0] and not any(self._moments[p] < self._moments[0] for p in shown[:1])
        return shown if whole and self._all_coded() else self._by_decoding()

    def _by_number(self) -> list[int]:
        """Without times: packets are numbered, and the order is that of the pictures' kinds, or of a full decode."""
        for place, packet in enumerate(self._packets):
            packet.pts = place
        self._place_of = {place: place for place in range(len(self._packets))}
        if reorders_by_kind(self.codec.name):
            kinds = [self._trait(place).kind for place in range(len(self._packets))]
            if self._all_coded() and kinds[:1] == ["I"] and kinds[1:2] != ["B"] and "" not in kinds:
                return presentation_order(kinds)
        return self._by_decoding()

    def _by_decoding(self) -> list[int]:
        return [place for place, _ in self._identified(range(len(self._packets)))]

    def _all_coded(self) -> bool:
        return self.codec.name != "mpeg4" or all(packet.size >= _NOT_CODED for packet in self._packets)

    def _trait(self, place: int) -> Traits:
        trait = self._traits.get(place)
        if trait is None:
            packet = cast("VideoPacket", self._packets[place])  # a head has its traits
            trait = self._traits[place] = self._parse(memoryview(packet), packet.is_keyframe)
        return trait

    def _needed(self, place: int) -> bool:
        """Whether another picture may depend on this one."""
        trait = self._trait(place)
        return trait.referred or trait.layer < self._top_layer

    def _runs(self, wanted: Collection[int]) -> list[tuple[int, int]]:
        """First and last place of what has to be decoded."""
        entries = self._entries if self._entries[:1] == [0] else [0, *self._entries]
        last_of: dict[int, int] = {}
        for place in wanted:
            k = bisect_right(entries, place) - 1
            if k > 0 and self._moments[place] < self._moments[entries[k]]:
                k -= 1  # it refers to pictures before its entry
            last_of[entries[k]] = max(place, last_of.get(entries[k], 0))
        runs: list[tuple[int, int]] = []
        for start, last in sorted(last_of.items()):
            if runs and start <= runs[-1][1]:
                runs[-1] = (runs[-1][0], max(runs[-1][1], last))
            else:
                runs.append((start, last))
        return runs

    def _decode(self, places: Iterable[int], missing: set[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for place, frame in self._identified(places):
            if place in missing:
                missing.remove(place)
                yield place, frame

    def _identified(self, places: Iterable[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        for frame in self._feed(places):
            if frame.pts is not None and frame.pts in self._place_of:
                yield self._place_of[frame.pts], frame

    def _feed(self, places: Iterable[int]) -> Iterator[av.VideoFrame]:
        for packet in self._fetch(places):
            yield from self.codec.decode(packet)
        yield from self.codec.decode(None)
        self.codec.flush_buffers()


def _demultiplex(container: InputContainer, unpack: bool) -> Iterator["VideoPacket"]:
    """All packets, in decoding order; where two pictures may share one (DivX's packed B frames), taken apart."""
    stream = shown_stream(container)
    packets = (packet for packet in container.demux(stream) if packet.size)
    if not unpack:
        return packets
    unpacker = BitStreamFilterContext("mpeg4_unpack_bframes", stream)
    return (one for packet in chain(packets, [None]) for one in unpacker.filter(packet) if one.size)
