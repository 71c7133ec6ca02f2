import pytest

from ost_lightning.video.decoding.bitstream.parameter_sets import Bits, H264ParameterSets, SliceHeader
from tests.video.decoding.field_coded import BitWriter


def sequence(order_type: int = 0, *, scaling_lists: bool = False, only_frames: bool = True) -> bytes:
    """Returns a sequence parameter set with 6 bits of frame numbers and 8 of order counts."""
    bits = BitWriter().fixed((100 if scaling_lists else 77, 8), (0, 8), (30, 8)).golomb(0)
    if scaling_lists:
        bits.golomb(1, 0, 0).fixed((0, 1), (1, 1))
        for index in range(8):
            bits.fixed((index % 3 == 0, 1))
            if index % 3 == 0:
                bits.golomb(*[1] * (16 if index < 6 else 64))  # each entry is one more than the last
    bits.golomb(2, order_type)
    if order_type == 0:
        bits.golomb(4)
    elif order_type == 1:
        bits.fixed((0, 1)).golomb(3, 4, 2, 5, 6)
    return bits.golomb(1).fixed((0, 1)).golomb(3, 3).fixed((only_frames, 1), (7, 3)).unit(3, 7)[4:]


PICTURE = BitWriter().golomb(0, 0).fixed((0, 2)).golomb(0, 0, 0).unit(3, 8)[4:]


def parsed(sequence_set: bytes, slice_bits: BitWriter, unit_type: int = 1) -> SliceHeader | None:
    sets = H264ParameterSets()
    sets.add(sequence_set)
    sets.add(PICTURE)
    return sets.slice_header(slice_bits.unit(2, unit_type)[4:])


@pytest.mark.parametrize("scaling_lists", [False, True])
def test_headers_of_slices(scaling_lists: bool) -> None:
    frames = sequence(scaling_lists=scaling_lists)
    assert parsed(frames, BitWriter().golomb(0, 7, 0).fixed((33, 6), (200, 8))) == (200, 256, 33, False, False)
    idr = BitWriter().golomb(0, 7, 0).fixed((33, 6)).golomb(900).fixed((2, 8))
    assert parsed(frames, idr, 5) == (2, 256, 33, False, False)
    fields = sequence(scaling_lists=scaling_lists, only_frames=False)
    assert parsed(fields, BitWriter().golomb(0, 7, 0).fixed((33, 6), (3, 2), (9, 8))) == (9, 256, 33, True, True)
    assert parsed(fields, BitWriter().golomb(0, 7, 0).fixed((33, 6), (0, 1), (9, 8))) == (9, 256, 33, False, False)


def test_other_types_of_order_counts() -> None:
    slice_bits = BitWriter().golomb(0, 7, 0).fixed((33, 6), (0, 20))
    assert parsed(sequence(2), slice_bits) == (0, 0, 33, False, False)
    assert parsed(sequence(1), slice_bits) == (None, 0, 33, False, False)


def test_headers_that_can_not_be_read() -> None:
    assert H264ParameterSets().slice_header(BitWriter().golomb(0, 7, 0).unit(2, 1)[4:]) is None
    assert parsed(sequence(), BitWriter().golomb(0, 7, 3).fixed((0, 20))) is None
    assert parsed(sequence(), BitWriter().golomb(0, 7, 0)) is None
    with pytest.raises(ValueError, match="negative shift count"):
        H264ParameterSets().add(b"\x67\x64\0\0")


def test_fields_are_possible_until_a_sequence_excludes_them() -> None:
    sets = H264ParameterSets()
    assert sets.may_have_fields
    sets.add(sequence())
    assert not sets.may_have_fields
    sets.add(sequence(only_frames=False))
    assert sets.may_have_fields


def test_bits() -> None:
    bits = Bits(bytes((0b10100110, 0b01000010, 0b11111111, 0)))
    assert [bits.read(1), bits.exp_golomb(), bits.exp_golomb(), bits.exp_golomb()] == [1, 1, 2, 3]
    assert Bits(b"\0\0\3\1\0\0\3\2").read(48) == 0x000001000002
    with pytest.raises(ValueError, match="negative shift count"):
        Bits(b"\0").exp_golomb()
