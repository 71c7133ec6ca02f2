import random

import pytest

from ost_lightning.video.decoding.bitstream import H264Parser, PictureInfo
from tests.video.decoding.bitstream.test_parameter_sets import PICTURE, sequence
from tests.video.decoding.field_coded import BitWriter


def headers(sequence_set: bytes, length: int = 4) -> bytes:
    """Returns the global headers of an MP4 file, whose NAL units have a length prefix of some bytes."""
    return b"".join(
        (
            bytes([1, 77, 0, 30, 0xFC | length - 1, 0xE1]),
            len(sequence_set).to_bytes(2, "big") + sequence_set,
            b"\1" + len(PICTURE).to_bytes(2, "big") + PICTURE,
        )
    )


def slice_unit(kind: int, count: int, *, reference: int = 2, unit_type: int = 1, number: int = 0) -> bytes:
    bits = BitWriter().golomb(0, kind, 0).fixed((number, 6))
    if unit_type == 5:
        bits.golomb(0)
    return bits.fixed((count, 8), (0x5A5A5A5A, 32)).unit(reference, unit_type)[4:]


def packet(*units: bytes, length: int = 4) -> bytes:
    return b"".join(len(unit).to_bytes(length, "big") + unit for unit in units)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
@pytest.mark.parametrize("only_frames", [True, False])
def test_pictures_are_parsed_alike_whatever_was_parsed_before(length: int, only_frames: bool) -> None:
    drawn, extradata = random.Random(length), headers(sequence(only_frames=only_frames), length)
    parser = H264Parser(extradata)
    for _ in range(300):
        unit_type = drawn.choice([1, 1, 1, 1, 5])
        unit = slice_unit(
            drawn.choice([0, 1, 2, 5, 6, 7]),
            drawn.randrange(256),
            reference=drawn.choice([0, 1, 2]) if unit_type == 1 else 3,
            unit_type=unit_type,
            number=drawn.randrange(64),
        )
        before = drawn.choice([[], [b"\x09\x30"]])  # an access unit delimiter
        data = packet(*before, *[unit] * drawn.choice([1, 1, 2]), length=length)
        assert parser(data, unit_type == 5) == H264Parser(extradata)(data, unit_type == 5)


def test_an_order_count_is_that_of_the_present_sequence() -> None:
    parser = H264Parser(headers(sequence()))
    for _ in range(2):
        assert parser(packet(slice_unit(5, 200)), False) == PictureInfo(True, False, 0, "", True, 200, 256)
    for units in ([sequence(2), slice_unit(5, 200)], [slice_unit(5, 200)]):
        assert parser(packet(*units), False) == PictureInfo(True, False, 0, "", True, 0, 0)


def test_a_later_slice_decides_whether_fields_are_references() -> None:
    """A packet may hold a field that nothing refers to and one that is a reference."""
    fields = headers(sequence(only_frames=False))
    for _ in range(2):
        assert H264Parser(fields)(packet(slice_unit(5, 9, reference=0), slice_unit(5, 9)), False).is_reference
    parser = H264Parser(headers(sequence()))
    for _ in range(2):
        assert not parser(packet(slice_unit(5, 9, reference=0)), False).is_reference
