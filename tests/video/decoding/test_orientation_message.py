import pytest

from ost_lightning.video.decoding.orientation_message import has_display_orientation

ORIENTATION = bytes([47, 3, 0x20, 0, 0x80])
OTHER = bytes([5, 17]) + b"written by an enc"
LONG = bytes([255, 1, 255, 1]) + bytes([47]) * 256  # type 256, size 256
ESCAPED = bytes([5, 4, 0, 0, 3, 1, 7])  # four bytes and one that keeps them from being a start code
HEADERS = {"h264": (b"\x06", b"\x67"), "hevc": (b"\x4e\x01", b"\x40\x01")}


def packet(units: list[bytes], length_size: int) -> bytes:
    if not length_size:
        return b"".join(b"\0\0\1" + unit for unit in units)
    return b"".join(len(unit).to_bytes(length_size, "big") + unit for unit in units)


@pytest.mark.parametrize("codec", HEADERS)
@pytest.mark.parametrize("length_size", [0, 2, 4])
@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (ORIENTATION, True),
        (OTHER + ORIENTATION, True),
        (LONG + ORIENTATION, True),
        (ESCAPED + ORIENTATION, True),
        (OTHER, False),
        (LONG, False),
        (b"", False),
        (bytes([255]) * 9, False),
    ],
)
def test_the_message_is_found_among_others(codec: str, length_size: int, messages: bytes, expected: bool) -> None:
    sei, other = HEADERS[codec]
    units = [other + ORIENTATION + b"\x80", sei + messages + b"\x80", other + b"\x80"]
    assert has_display_orientation(codec, packet(units, length_size), length_size) == expected
    assert not has_display_orientation(codec, packet(units, length_size)[:3], length_size)
