"""The frames of a video stream: their presentation order and times, and decoding as few packets as possible.

Decoding starts at the last random access point before a wanted picture and ends with the last wanted picture that
depends on it. Pictures that are neither wanted nor referenced are skipped.

Times and keyframe flags of the container are believed only where the pictures themselves agree. Where they do not, the
decoder decides: everything is decoded from the beginning, and shown in the decoder's order.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from typing import Final

import av
from av.container import InputContainer

from ost_lightning.video.decoding.bitstream import (
    coded_order,
    headers_contain_order,
    length_size,
    order_by_types,
    parser_for,
    reorders_by_type,
)
from ost_lightning.video.decoding.container_times import ContainerTimes, clock_may_jump, has_times
from ost_lightning.video.decoding.orientation_message import has_display_orientation
from ost_lightning.video.decoding.packets import PacketList
from ost_lightning.video.decoding.tracks import main_video_stream

_NOT_CODED: Final = 20
"""Size in bytes below which an MPEG-4 picture may just repeat the previous one and give no frame."""
_PLACEHOLDER_FRAMES: Final = 1 << 30
"""Number of frames that FFmpeg writes into the header of an AVI whose length it does not know yet."""


class _UnreliableStartError(Exception):
    """Decoding began at a picture that depends on earlier ones, though the container calls it a keyframe."""


class CodedStream:
    """A video stream and its decoder.

    A position is a packet's index in decoding order, an index that of a frame in presentation order.

    Attributes:
        codec: The decoder.
        presentation_order: Positions of the shown pictures, in presentation order.
        declares_orientation: Whether the first picture says how the video has to be turned or mirrored.
        listed_frames: Number of pictures that the container says there are (MP4, AVI); 0 if it does not say.
        lacks_frames: Whether the file contains fewer.
        is_truncated: Whether the last packet is incomplete.
        damage: Error with which decoding stopped while the order was looked for; None if there was none.
        rate: Average number of frames per second; 0 if unknown.

    Args:
        container: Container, opened and at its beginning.
        threads: Decoding threads.
        reopen: Function that opens the container again; None keeps all packets in memory.

    Raises:
        av.error.FFmpegError: If the container is damaged.
        ValueError: If the container has no video.
    """

    def __init__(
        self, container: InputContainer, threads: int = 1, reopen: Callable[[], InputContainer] | None = None
    ) -> None:
        stream, formats = main_video_stream(container), container.format.name.split(",")
        self.codec = stream.codec_context
        self.codec.thread_type, self.codec.thread_count = "SLICE", threads
        # a damaged picture is an error instead of being concealed
        strictness = {"err_detect": "explode"}
        if self.codec.name == "h264":
            # takes the reordering depth from the standard instead of guessing it, which drops pictures
            strictness["strict"] = "1"
        self.codec.options = self.codec.options | strictness
        timed = has_times(container)
        self._packets = PacketList(
            container,
            parser_for(self.codec.name, self.codec.extradata),
            unpack=self.codec.name == "mpeg4" and not timed,
            reopen=reopen,
        )
        self.is_truncated = self._packets.is_truncated and not clock_may_jump(container)
        # the sample index of an MP4 file says how many packets there should be, the header of an AVI how many chunks
        listed, found = len(stream.index_entries), self._packets.stored
        if "avi" in formats:
            listed, found = stream.frames if stream.frames < _PLACEHOLDER_FRAMES else 0, listed
        self.listed_frames = listed if "mp4" in formats or "avi" in formats else 0
        self.lacks_frames = found < self.listed_frames
        self._times = ContainerTimes(container, self._packets)
        self.rate = float(self._times.rate)
        self._headers_decide = headers_contain_order(self.codec.name)
        self._random_access_points = [
            position for position in self._packets.keyframes if self._packets.picture(position).is_random_access_point
        ]
        self._highest_temporal_id = (
            max((self._packets.picture(position).temporal_id for position in range(len(self._packets))), default=0)
            if self.codec.name == "hevc"
            else 0
        )
        self._first = self._first_decodable()
        self.declares_orientation = self._declares_orientation()
        self._checked: set[int] = set()
        self._fed = 0
        self._decodable: int | None = None
        self._damaged_at = len(self._packets)  # first packet that decoding from the beginning has failed at
        self.damage: Exception | None = None
        order = self._order_by_times() if timed else self._order_by_headers()
        self._follows_times = timed and order is not None
        if order is None:
            order, self.damage = self._shown(len(self._packets))
        self._set_order(order)
        if timed and self._packets.has_joined_fields and len(self.seconds) > 1:
            # the container's rate may be that of fields
            self.rate = (len(self.seconds) - 1) / self.seconds[-1]

    @cached_property
    def seconds(self) -> list[float]:
        """Time of each frame from the first one on, ascending; by the average rate if the container has no times."""
        return self._times.seconds(self.presentation_order)

    def reaches_its_duration(self) -> bool:
        """Whether the last picture ends when the container's header says that the video ends."""
        return self._times.reach_duration()

    def frames(self, wanted: Collection[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decodes frames and yields each with its index, in any order.

        Raises:
            av.error.FFmpegError: If decoding fails, also from the beginning of the stream.
            ValueError: If the file has changed since it was opened, or if its times are wrong and no other order can be
                found.
        """
        index_of = {self.presentation_order[index]: index for index in wanted}
        if self._follows_times and not self._headers_agree(self._runs(index_of)):
            self._require_undamaged(index_of)
            self._follow_decoder()
            index_of = {self.presentation_order[index]: index for index in wanted}
        # parsed before decoding begins, because decoding evicts all of it from the processor's caches
        runs = [
            [position for position in range(start, last + 1) if position in index_of or self._is_needed(position)]
            for start, last in self._runs(index_of)
        ]
        try:
            for positions in runs:
                yield from self._decode(positions, index_of)
        except (av.error.FFmpegError, _UnreliableStartError) as error:
            self._require_undamaged(index_of, error)
            yield from self._decode_from_beginning(index_of)
            self._random_access_points = [0]
            self._checked.clear()
        if index_of and min(index_of) < self._damaged_at:
            # frames missing from a partial decode may appear in a full one
            yield from self._decode_from_beginning(index_of)

    def starts(self) -> list[int]:
        """Returns the indices of the frames at which decoding can begin, ascending."""
        ranks = (self._rank[position] for position in self._random_access_points)
        return sorted({0, *(rank for rank in ranks if rank > 0)})

    def decodable(self) -> int:
        """Counts the frames from the first one on that can be decoded."""
        if self._decodable is None:
            self._decodable = self._count_decodable()
        return self._decodable

    def _count_decodable(self) -> int:
        shown = set(self._shown(len(self._packets) - self.is_truncated)[0])
        if self._order_is_wrong:
            return len(shown)
        return next((k for k, position in enumerate(self.presentation_order) if position not in shown), len(shown))

    def _order_by_times(self) -> list[int] | None:
        """Presentation order by the container's times; None if they can't be relied on."""
        ticks = self._times.ticks
        if not self._times.agree_with(self._random_access_points) or not self._all_coded():
            return None
        if not self._headers_decide and ticks == sorted(ticks) and self._decoder_reorders():
            return None
        shown = [position for position in range(len(ticks)) if position not in self._packets.discarded]
        if self.codec.name == "vp8":
            shown = [position for position in shown if self._packets.picture(position).is_shown]
        shown.sort(key=ticks.__getitem__)
        return shown if not shown or ticks[shown[0]] >= ticks[0] else None

    def _order_by_headers(self) -> list[int] | None:
        """Presentation order by the pictures' headers; None if they do not contain it."""
        if self.codec.codec.intra_only:
            return list(range(len(self._packets)))
        if not reorders_by_type(self.codec.name) or not self._all_coded():
            return None
        types = [self._packets.picture(position).picture_type for position in range(len(self._packets))]
        return order_by_types(types) if types[:1] == ["I"] and types[1:2] != ["B"] and "" not in types else None

    def _first_decodable(self) -> int:
        """Position at which players begin, whatever the container calls a keyframe."""
        if self.codec.name != "hevc":
            return 0  # other decoders skip by themselves what they can't decode
        positions = range(len(self._packets))
        return next((position for position in positions if self._packets.picture(position).is_random_access_point), 0)

    def _declares_orientation(self) -> bool:
        if self.codec.name not in ("h264", "hevc") or not len(self._packets):
            return False
        prefix = length_size(self.codec.name, self.codec.extradata or b"")
        return has_display_orientation(self.codec.name, bytes(next(self._packets.fetch([self._first]))), prefix)

    def _decoder_reorders(self) -> bool:
        self.codec.open(strict=False)
        return self.codec.has_b_frames

    def _follow_decoder(self) -> None:
        """Replaces an order by times that turns out to be wrong."""
        self._follows_times, self._order_is_wrong = False, True
        shown, error = self._shown(len(self._packets))
        if error is not None:
            self._damaged_at = self._fed + 1
            raise error
        if len(shown) != len(self.presentation_order):
            raise ValueError("the pictures contradict their times")
        self._set_order(shown)

    def _set_order(self, order: list[int]) -> None:
        self.presentation_order, self._order_is_wrong = order, False
        self._decodable = None
        self._rank = [-1] * len(self._packets)
        for index, position in enumerate(order):
            self._rank[position] = index

    def _all_coded(self) -> bool:
        return self.codec.name != "mpeg4" or all(
            self._packets[position].size >= _NOT_CODED for position in range(len(self._packets))
        )

    def _is_needed(self, position: int) -> bool:
        """Whether another picture may depend on this one."""
        picture = self._packets.picture(position)
        return picture.is_reference or picture.temporal_id < self._highest_temporal_id

    def _headers_agree(self, runs: Iterable[tuple[int, int]]) -> bool:
        """Whether the pictures' headers have the same order as their times, wherever something has to be decoded."""
        if not self._headers_decide:
            return True
        ticks = self._times.ticks
        ends = [*self._random_access_points[1:], len(self._packets)]
        for first, last in runs:
            for start, end in zip(self._random_access_points, ends, strict=True):
                if end <= first or start > last or start in self._checked:
                    continue
                order = coded_order([self._packets.picture(position) for position in range(start, end)])
                if order is None or any(ticks[start + a] > ticks[start + b] for a, b in pairwise(order)):
                    return False
                self._checked.add(start)
        return True

    def _runs(self, wanted: Collection[int]) -> list[tuple[int, int]]:
        """First and last position of each run of packets that has to be decoded."""
        starts = self._random_access_points
        starts = starts if starts[:1] == [self._first] else [self._first, *starts]
        last_of: dict[int, int] = {}
        for position in wanted:
            k = bisect_right(starts, position) - 1
            if k > 0 and self._rank[position] < self._rank[starts[k]]:
                k -= 1  # it refers to pictures before its random access point
            last_of[starts[k]] = max(position, last_of.get(starts[k], 0))
        runs: list[tuple[int, int]] = []
        for start, last in sorted(last_of.items()):
            if runs and start <= runs[-1][1]:
                runs[-1] = (runs[-1][0], max(runs[-1][1], last))
            else:
                runs.append((start, last))
        return runs

    def _decode(self, positions: Collection[int], missing: dict[int, int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decodes packets at ascending positions and yields the frames of those that are missing, with their indices.

        Args:
            positions: Positions, the first of which is 0 or that of a random access point.
            missing: Indices of the missing frames by position; each frame is removed when it is yielded.

        Raises:
            av.error.FFmpegError: If decoding fails.
            _UnreliableStartError: If the first picture depends on earlier ones.
        """
        start = next(iter(positions), 0)
        confirmed = start <= self._first or self._headers_decide
        for frame in self._feed(positions):
            position = -1 if frame.pts is None else frame.pts
            if not confirmed and not (position == start and frame.key_frame):
                raise _UnreliableStartError
            confirmed = True
            if position in missing:
                if start > self._first and frame.is_corrupt:
                    raise _UnreliableStartError
                yield missing.pop(position), frame
                if not missing:
                    return

    def _require_undamaged(self, wanted: Collection[int], error: Exception | None = None) -> None:
        """Raises an error if decoding from the beginning would fail before these positions, as it has before."""
        if min(wanted) >= self._damaged_at:
            raise error if isinstance(error, av.error.FFmpegError) else ValueError("it follows a damaged part")

    def _decode_from_beginning(self, missing: dict[int, int]) -> Iterator[tuple[int, av.VideoFrame]]:
        try:
            yield from self._decode(range(self._first, len(self._packets)), missing)
        except (av.error.FFmpegError, ValueError):
            self._damaged_at = self._fed
            raise

    def _feed(self, positions: Iterable[int]) -> Iterator[av.VideoFrame]:
        try:
            for packet in self._packets.fetch(positions):
                self._fed = packet.pts or 0
                yield from self.codec.decode(packet)
            yield from self.codec.decode(None)
        finally:
            self.codec.flush_buffers()

    def _shown(self, end: int) -> tuple[list[int], Exception | None]:
        """Decodes from the beginning.

        Args:
            end: Position of the first packet that is not decoded.

        Returns:
            Positions of the frames in the order in which the decoder shows them, and the error at which decoding
            stopped; then only frames that do not depend on the packet with the error.
        """
        shown: list[int] = []
        last = 0

        def positions() -> Iterator[int]:
            nonlocal last
            for last in range(self._first, end):  # noqa: UP028  # the position is needed after an error
                yield last

        try:
            for frame in self._feed(positions()):
                if frame.pts is not None:
                    shown.append(frame.pts)
        except (av.error.FFmpegError, ValueError) as error:
            return self._shown(last)[0] if last > self._first else [], error
        return shown, None
