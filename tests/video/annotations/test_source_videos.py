from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.video.annotations.source_videos import source_in_name
from ost_lightning.video.annotations.split import split_by_source
from tests.operations import lines_run


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("archery/0347ZoDXyP0_000095_000105.mp4", "0347ZoDXyP0"),
        ("v_-01K1HxqPB8.mp4", "-01K1HxqPB8"),
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c02.avi", "v_ApplyEyeMakeup_g01"),
        ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "April_09_brush_hair"),
        ("a/game_part2.mp4", "game"),
        ("a/Game 3 - clip 07.MOV", "Game 3"),
        ("a/match.scene12.mkv", "match"),
        ("a/game_000012_000022.mp4", "game"),
        ("a/game_12.5-16.mp4", "game"),
        ("a/game 3s-9s.mp4", "game"),
        ("a/game@1.5-4.mp4", "game"),
        ("a/1.mp4", None),
        ("a/arm_3.mp4", None),
        ("a/part2.mp4", None),
        ("a/VID_20240101_123456.mp4", None),
        ("a/2024-01-31.mp4", None),
        ("a/depart5.mp4", None),
    ],
)
def test_recordings_in_names(path: str, source: str | None) -> None:
    assert source_in_name(path) == source


SHARES = {"test": 0.2, "val": 0.1}


def test_shares_of_each_class() -> None:
    videos = [(name, f"{name}{k}") for name in "ab" for k in range(20)]
    for name in "ab":
        parts = Counter(
            part for video, part in zip(videos, split_by_source(videos, SHARES, 0), strict=True) if video[0] == name
        )
        assert parts == {"train": 14, "test": 4, "val": 2}
    assert split_by_source(videos, SHARES, 0) == split_by_source(videos, SHARES, 0)
    assert split_by_source(videos, SHARES, 0) != split_by_source(videos, SHARES, 1)


@pytest.mark.parametrize(("sources", "parts"), [(1, "train"), (2, "test train"), (3, "test train val")])
def test_classes_with_few_recordings(sources: int, parts: str) -> None:
    videos = [("a", str(k % sources)) for k in range(12)]
    assert sorted(set(split_by_source(videos, SHARES, 0))) == parts.split()


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("stuvwxyz")), min_size=1, max_size=60), st.integers(0, 9)
)
def test_no_recording_is_in_two_parts_and_every_class_is_trained(videos: list[tuple[str, str]], seed: int) -> None:
    parts = split_by_source(videos, SHARES, seed)
    of_source: dict[str, set[str]] = {}
    for (_, source), part in zip(videos, parts, strict=True):
        of_source.setdefault(source, set()).add(part)
    assert all(len(found) == 1 for found in of_source.values())
    assert {name for name, _ in videos} == {
        name for (name, _), part in zip(videos, parts, strict=True) if part == "train"
    }


def test_the_work_is_proportional_to_the_number_of_classes_and_videos() -> None:
    def work(classes: int) -> int:
        videos = [(f"class {k % classes}", f"source {k // 2}") for k in range(20 * classes)]
        return lines_run(lambda: split_by_source(videos, SHARES, 0))

    assert work(80) < 5 * work(20)
