"""Detection of files that are shorter than their headers say, as an interrupted download leaves them."""

from io import BytesIO
from pathlib import Path
from typing import Final

from ost_lightning.video.storage.addresses import ShardMember, VideoAddress

_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = b"\x18\x53\x80\x67"
_HEAD_BYTES: Final = 256


def first_bytes(address: VideoAddress, fetched: BytesIO | None) -> tuple[bytes, int]:
    """Reads the beginning of a file and its size.

    Args:
        address: Address of the file.
        fetched: Content of a downloaded file; None for a local one.

    Returns:
        Up to 256 bytes, and the size in bytes.
    """
    if fetched is not None:
        view = fetched.getbuffer()
        return bytes(view[:_HEAD_BYTES]), len(view)
    start = address.offset if isinstance(address, ShardMember) else 0
    with Path(address.shard if isinstance(address, ShardMember) else address).open("rb") as file:
        size = address.size if isinstance(address, ShardMember) else file.seek(0, 2)
        file.seek(start)
        return file.read(min(_HEAD_BYTES, size)), size


def missing_bytes(head: bytes, size: int) -> int:
    """Number of bytes that a Matroska, WebM or AVI file lacks; 0 for other formats, which are checked elsewhere.

    Args:
        head: First bytes of the file.
        size: Size of the file in bytes.
    """
    return max(0, promised_bytes(head) - size)


def promised_bytes(head: bytes) -> int:
    """Size of a file in bytes according to its headers; 0 if they do not contain it.

    Args:
        head: First bytes of the file.
    """
    if head[:4] == b"RIFF" and len(head) >= 8:
        return 8 + int.from_bytes(head[4:8], "little")
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
