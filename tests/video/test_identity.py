import pytest
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.video.identity import id_hash, list_digest, video_id


@pytest.mark.parametrize(
    ("path", "video", "file"),
    [
        ("val/-aNccq2jvUA_000055_000065.mp4", "-aNccq2jvUA", "-aNccq2jvUA_000055_000065"),
        ("v_sJFgo9H6zNo.mp4", "sJFgo9H6zNo", "v_sJFgo9H6zNo"),
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "v_ApplyEyeMakeup_g01_c01", "v_ApplyEyeMakeup_g01_c01"),
        ("67818.webm", "67818", "67818"),
        ("a\\b\\Trick_and_flic-flac_u_cm_np1_ba_bad_0.avi", "Trick_and_flic-flac_u_cm_np1_ba_bad_0", None),
        ("no.extension here", "no.extension here", None),
    ],
)
def test_video_id(path: str, video: str, file: str | None) -> None:
    assert video_id(path) == video
    assert video_id(path, "file") == (file or video)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="/\\"), min_size=1, max_size=40))
def test_a_folder_does_not_change_the_id(name: str) -> None:
    if name.strip() not in ("", ".", ".."):
        assert video_id(f"some folder/{name}") == video_id(name)


def test_hash_and_digest() -> None:
    assert -(2**63) <= id_hash("a") < 2**63
    assert id_hash("a") != id_hash("b")
    assert list_digest(["a", "b"]) == list_digest(["b", "a"]) != list_digest(["a"])
    assert len(list_digest([])) == 16
