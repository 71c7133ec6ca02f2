"""Detection of files that are shorter than their headers say, as an interrupted download leaves them."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from ost_lightning.video.storage.addresses import ShardMember, VideoAddress

_RIFF: Final = b"RIFF"
_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = b"\x18\x53\x80\x67"
_HEAD_BYTES: Final = 256
_TAIL_BYTES: Final = 8 << 20
"""Size of the largest AVI index that is looked for: hours of video with sound."""
_ELEMENT_START: Final = 12
"""Largest size in bytes of an EBML element's number and length."""
_UNKNOWN_LENGTHS: Final = (0, 0xFFFFFFFF)
"""Lengths in a RIFF header that was written before the length was known."""


def first_bytes(address: VideoAddress, fetched: BytesIO | None) -> tuple[bytes, int]:
    """Reads the beginning of a file and its size.

    Args:
        address: Address of the file.
        fetched: Content of a downloaded file; None for a local one.

    Returns:
        Up to 256 bytes, and the size in bytes.
    """
    if fetched is not None:
        size = len(fetched.getbuffer())
    elif isinstance(address, ShardMember):
        size = address.size
    else:
        size = Path(address).stat().st_size
    with _opened(address, fetched) as (file, beginning):
        file.seek(beginning)
        return file.read(min(_HEAD_BYTES, size)), size


def missing_bytes(head: bytes, size: int) -> int:
    """Number of bytes that a Matroska, WebM or AVI file lacks according to its header; 0 for other formats.

    Args:
        head: First bytes of the file.
        size: Size of the file in bytes.
    """
    return max(0, promised_bytes(head) - size)


def has_wrong_length(head: bytes, size: int) -> bool:
    """Whether the header of a Matroska, WebM or AVI file contradicts its size.

    Such a file may be cut off. It may also be whole, with a header that was never completed (a recording into a pipe).
    Bytes that follow a Matroska file's end are ignored by players.

    Args:
        head: First bytes of the file.
        size: Size of the file in bytes.
    """
    if head[:4] == _RIFF:
        return abs(promised_bytes(head) - size) > 1  # the last chunk may be padded to an even length
    return promised_bytes(head) > size


def ends_with_index(address: VideoAddress, fetched: BytesIO | None, size: int) -> bool:
    """Whether an AVI file has its index, which follows the last frame.

    Args:
        address: Address of the file.
        fetched: Content of a downloaded file; None for a local one.
        size: Size of the file in bytes.
    """
    with _opened(address, fetched) as (file, beginning):
        file.seek(beginning + max(0, size - _TAIL_BYTES))
        tail = file.read(min(size, _TAIL_BYTES))
    start = tail.rfind(b"idx1")
    return start >= 0 and start + 8 + int.from_bytes(tail[start + 4 : start + 8], "little") <= len(tail)


def ends_within_element(address: VideoAddress, fetched: BytesIO | None, head: bytes, size: int) -> bool:
    """Whether a Matroska or WebM file of unknown length, such as a browser records, ends within an element.

    Args:
        address: Address of the file.
        fetched: Content of a downloaded file; None for a local one.
        head: First bytes of the file.
        size: Size of the file in bytes.
    """
    if head[:4] != _EBML or promised_bytes(head):
        return False
    with _opened(address, fetched) as (file, beginning):
        offset = 0
        while offset < size:
            file.seek(beginning + offset)
            start = file.read(_ELEMENT_START)
            if not start or not start[0] & 0xF0:
                return False  # no element
            length, content = _variable_size(start, 9 - start[0].bit_length())
            # a segment or cluster of unknown length: its elements follow
            offset += content + (length or 0)
    return offset > size


def promised_bytes(head: bytes) -> int:
    """Size of a file in bytes according to its headers; 0 if they do not contain it.

    Args:
        head: First bytes of the file.
    """
    if head[:4] == _RIFF and len(head) >= 8:
        length = int.from_bytes(head[4:8], "little")
        return 0 if length in _UNKNOWN_LENGTHS else 8 + length
    if head[:4] != _EBML:
        return 0
    size, offset = _variable_size(head, 4)
    offset += size or 0
    if size is None or head[offset : offset + 4] != _SEGMENT:
        return 0
    size, offset = _variable_size(head, offset + 4)
    return offset + size if size is not None else 0


def _variable_size(data: bytes, offset: int) -> tuple[int | None, int]:
    """Size of an EBML element (None if unknown) and offset of its content (RFC 8794, 4)."""
    if offset >= len(data) or not data[offset]:
        return None, offset
    length = 9 - data[offset].bit_length()
    value = int.from_bytes(data[offset : offset + length], "big") & ((1 << 7 * length) - 1)
    if offset + length > len(data):
        return None, offset
    return (None if value == (1 << 7 * length) - 1 else value), offset + length


@contextmanager
def _opened(address: VideoAddress, fetched: BytesIO | None) -> Iterator[tuple[BinaryIO, int]]:
    """Opens a file; yields it and the offset at which the video begins in it."""
    if fetched is not None:
        yield BytesIO(fetched.getbuffer()), 0
        return
    path, beginning = (address.shard, address.offset) if isinstance(address, ShardMember) else (address, 0)
    with Path(path).open("rb") as file:
        yield file, beginning
