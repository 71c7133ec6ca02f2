from itertools import pairwise
from pathlib import Path

import pytest

from ost_lightning.video import VideoReader
from tests.video.decoding.coded_files import assert_shows, decoded, remux
from tests.video.decoding.field_coded import gray, write_field_coded

ORDERS = {
    "in order": (list(range(12)), range(0, 12, 3)),
    "all referenced": (list(range(12)), range(12)),
    "reordered": ([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9], range(0, 12, 2)),
}


@pytest.mark.parametrize("name", ORDERS)
def test_a_frame_has_both_of_its_fields(tmp_path: Path, name: str) -> None:
    order, references = ORDERS[name]
    raw, stream = write_field_coded(tmp_path, order, references)
    for path in (raw, stream):
        reference = decoded(path)
        assert len(reference) == len(order)
        assert_shows(path, reference)
        with VideoReader(path) as video:
            luma = [frame.to_ndarray()[:2, 0].tolist() for _, frame in video.frames_in_order()]
            assert luma == [[gray(index, False), gray(index, True)] for index in range(len(order))]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_copies_with_a_packet_per_field(tmp_path: Path, suffix: str) -> None:
    raw, stream = write_field_coded(tmp_path, *ORDERS["reordered"])
    path = remux(stream, tmp_path / f"copy.{suffix}", lambda position, packet, ticks: None)
    assert_shows(path, decoded(raw))


def test_times_and_rate_are_those_of_frames(tmp_path: Path) -> None:
    _, stream = write_field_coded(tmp_path, *ORDERS["reordered"])
    with VideoReader(stream) as video:
        assert video.rate == pytest.approx(25)
        assert all(after - before == pytest.approx(0.04) for before, after in pairwise(video._seconds()))


@pytest.mark.parametrize("missing", [8, -1])
def test_a_field_without_its_second_one_is_shown_as_the_decoder_does(tmp_path: Path, missing: int) -> None:
    raw, _ = write_field_coded(tmp_path, *ORDERS["in order"])
    units = raw.read_bytes().split(b"\0\0\0\1")
    del units[missing]
    raw.write_bytes(b"\0\0\0\1".join(units))
    assert_shows(raw, decoded(raw))
