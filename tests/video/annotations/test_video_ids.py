import os
import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.video.annotations.few_shot import draw_shots
from ost_lightning.video.annotations.video_ids import id_hash, list_digest, video_id


@pytest.mark.parametrize(
    ("path", "video", "file"),
    [
        ("val/-aNccq2jvUA_000055_000065.mp4", "-aNccq2jvUA", "-aNccq2jvUA_000055_000065"),
        ("v_sJFgo9H6zNo.mp4", "sJFgo9H6zNo", "v_sJFgo9H6zNo"),
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "v_ApplyEyeMakeup_g01_c01", "v_ApplyEyeMakeup_g01_c01"),
        ("67818.webm", "67818", "67818"),
        ("jump_rope/0.mp4", "jump_rope/0", "0"),
        ("jump_rope/0.mp4@1.5-4", "jump_rope/0", "0"),
        ("jump_rope/0.mp4@0-", "jump_rope/0", "0"),
        ("v_sJFgo9H6zNo.mp4@12-30.25", "sJFgo9H6zNo", "v_sJFgo9H6zNo"),
        ("me@home-2.mp4", "me@home-2", "me@home-2"),
        ("train\\jump_rope\\0.mp4", "train/jump_rope/0", "0"),
        ("/data//jump rope/a.b.mov", "/data/jump rope/a.b", "a.b"),
        ("a\\b\\Trick_and_flic-flac_u_cm_np1_ba_bad_0.avi", "Trick_and_flic-flac_u_cm_np1_ba_bad_0", None),
        ("no.extension here", "no.extension here", None),
    ],
)
def test_ids_of_videos_and_files(path: str, video: str, file: str | None) -> None:
    assert video_id(path) == video
    assert video_id(path, "file") == (file or video)


@given(st.lists(st.sampled_from(["a", "1.5", ".", "..", "/", "\\", " ", "\n", ".mp4", ".webm", "é"]), max_size=8))
def test_ids_follow_the_rules_of_paths(parts: list[str]) -> None:
    """Earlier versions took paths apart by pathlib; their results remain comparable."""
    path = "".join(parts)
    video = PurePosixPath(path.replace("\\", "/"))
    name = PurePosixPath(video.name.strip())
    stem = name.stem if re.fullmatch(r"\.[A-Za-z]\w{1,4}", name.suffix) else name.name
    assert video_id(path, "file") == stem
    assert video_id(path) == str(video.parent / stem)


def test_digests_are_those_of_earlier_results() -> None:
    paths = ["abseiling/0wR5jVB-WPk_000417_000427.mp4", "67818.webm", "jump rope/0.mp4", "val//./b.avi@1-2.5"]
    assert [video_id(path) for path in paths] == ["0wR5jVB-WPk", "67818", "jump rope/0", "val/b"]
    assert list_digest(map(video_id, paths)) == "c9163fa5adc52a00"


@pytest.mark.parametrize(
    "name",
    [
        "-aNccq2jvUA_000055_000065.mp4",
        "0wR5jVB-WPk.mp4",
        "v_sJFgo9H6zNo.mp4",
        "v_YoYo_g25_c02.avi",
        "#2_Gum_chew_h_nm_np1_fr_med_0.avi",
        "Mark_of_Zorro_-_Fencing_Fight_!_fencing_f_cm_np2_fr_goo_2.avi",
        "darksideofhorseracing_ride_horse_f_cm_np4_ri_med_0.avi",
        "Stadium_Plyometric_Workout_climb_stairs_l_cm_np1_ba_med_3.avi",
        "185332.webm",
    ],
)
def test_a_published_name_identifies_a_video_in_any_folder(name: str) -> None:
    assert video_id(f"some folder/{name}") == video_id(f"/data/{name}") == video_id(name)


@pytest.mark.parametrize("name", ["36.webm", "36.mp4", "00036", "185332.avi"])
@pytest.mark.parametrize("folder", ["20bn-something-something-v2", "ssv2", "data/sthv2_videos"])
def test_numbers_in_something_something_folders_are_published_names(folder: str, name: str) -> None:
    assert video_id(f"{folder}/{name}") == video_id(name)


@given(
    st.sampled_from(["0", "1", "0001", "18533", "clip 1", "video_000001", "JumpingRope", "Video000001", "GOPR0001"]),
    st.lists(st.sampled_from(["train", "test", "jump_rope", "making tea", "a"]), max_size=3),
    st.lists(st.sampled_from(["train", "test", "jump_rope", "making tea", "a"]), max_size=3),
)
def test_any_other_name_is_identified_by_its_folders(name: str, folders: list[str], others: list[str]) -> None:
    one, other = ("/".join([*parts, f"{name}.mp4"]) for parts in (folders, others))
    assert (video_id(one) == video_id(other)) == (folders == others)
    assert video_id(one) == video_id(f"./{one}") == video_id(one.removesuffix(".mp4")) == video_id(f"{one[:-4]}.avi")
    assert video_id(one, "file") == video_id(other, "file") == name


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="/\\"), min_size=1, max_size=40))
def test_a_name_without_folders_is_identified_by_its_stem_or_youtube_id(name: str) -> None:
    if name.strip() not in ("", ".", ".."):
        assert video_id(name) in video_id(name, "file")


def test_hashes_are_64_bit_and_digests_ignore_the_order() -> None:
    assert -(2**63) <= id_hash("a") < 2**63
    assert id_hash("a") != id_hash("b")
    assert list_digest(["a", "b"]) == list_digest(["b", "a"]) != list_digest(["a"])
    assert len(list_digest([])) == 16


def test_names_that_are_not_utf8_have_ids_and_digests() -> None:
    names = [os.fsdecode(name) for name in (b"caf\xe9.mp4", b"caf\xe8.mp4", "café.mp4".encode())]
    assert len({list_digest([video_id(name)]) for name in names}) == 3
    assert len({id_hash(video_id(name)) for name in names}) == 3
    assert len(draw_shots(names, [0, 0, 0], 2, seed=0)) == 2
