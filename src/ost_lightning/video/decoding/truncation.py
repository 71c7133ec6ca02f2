"""Whether a file is shorter than its own headers say: what a download that was cut off leaves behind."""

from io import BytesIO
from pathlib import Path
from typing import Final

from ost_lightning.video.storage.addresses import ShardMember, VideoAddress

_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = b"\x18\x53\x80\x67"
_LOOKED_AT: Final = 256


def first_bytes(address: VideoAddress, fetched: BytesIO | None) -> tuple[bytes, int]:
    """The beginning of a file, and its length.

    Args:
        address: Of the file.
        fetched: Its bytes, if they are not in a local file.
    """
    if fetched is not None:
        view = fetched.getbuffer()
        return bytes(view[:_LOOKED_AT]), len(view)
    start = address.offset if isinstance(address, ShardMember) else 0
    with Path(address.shard if isinstance(address, ShardMember) else address).open("rb") as file:
        size = address.size if isinstance(address, ShardMember) else file.seek(0, 2)
        file.seek(start)
        return file.read(min(_LOOKED_AT, size)), size


def missing_bytes(head: bytes, size: int) -> int:
    """How many bytes a Matroska, WebM or AVI file lacks; 0 for other formats, whose index or stream tells.

    Args:
        head: Its first bytes.
        size: Its length.
    """
    return max(0, promised_bytes(head) - size)


def promised_bytes(head: bytes) -> int:
    """Length of a file by its headers; 0 if they do not tell.

    Args:
        head: Its first bytes.
    """
    if head[:4] == b"RIFF" and len(head) >= 8:
        return 8 + int.from_bytes(head[4:8], "little")
    if head[:4] != _EBML:
        return 0
    size, place = _variable_size(head, 4)
    place += size or 0
    if size is None or head[place : place + 4] != _SEGMENT:
        return 0
    size, place = _variable_size(head, place + 4)
    return place + size if size is not None else 0


def _variable_size(data: bytes, place: int) -> tuple[int | None, int]:
    """An EBML element's size, None if unknown, and where its content begins (RFC 8794, 4)."""
    if place >= len(data) or not data[place]:
        return None, place
    length = 9 - data[place].bit_length()
    value = int.from_bytes(data[place : place + length], "big") & ((1 << 7 * length) - 1)
    if place + length > len(data):
        return None, place
    return (None if value == (1 << 7 * length) - 1 else value), place + length
