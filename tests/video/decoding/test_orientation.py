import gc
import math
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.bitstream import BitStreamFilterContext
from av.sidedata.sidedata import SideDataContainer
from numpy.typing import NDArray
from PIL import Image

from ost_lightning.video import Box, CropSpec, VideoReader, VideoReadError, open_video, read_frames
from ost_lightning.video.decoding.orientation import AS_STORED, orientation_of
from ost_lightning.video.maintenance.transcoding import TranscodeSettings, TranscodingJob, transcode
from tests.videos import pictures, set_display_matrix, write_video

# (a, b, c, d) of the eight display matrices, by EXIF's number of the same orientation
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def shown(stored: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Moves each pixel of (..., H, W) to where the matrix shows it."""
    a, b, c, d = matrix
    rows, columns = np.indices(stored.shape[-2:])
    x, y = a * columns + c * rows, b * columns + d * rows
    x, y = x - x.min(), y - y.min()
    picture = np.empty((*stored.shape[:-2], y.max() + 1, x.max() + 1), np.uint8)
    picture[..., y, x] = stored
    return picture


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video whose corners all differ: red is the column, green the row."""
    ramps = np.zeros((3, 96, 128, 3), np.uint8)
    ramps[..., 0], ramps[..., 1] = np.linspace(30, 220, 128), np.linspace(30, 220, 96)[:, None]
    return write_video(
        tmp_path_factory.mktemp("plain") / "a.mp4", width=128, height=96, shots=ramps, options={"crf": "5"}
    )


def with_matrix(plain: Path, path: Path, matrix: tuple[float, float, float, float]) -> Path:
    set_display_matrix(Path(shutil.copy(plain, path)), matrix)
    return path


@pytest.mark.parametrize("exif", MATRICES)
def test_pictures_are_shown_as_the_display_matrix_says(plain: Path, tmp_path: Path, exif: int) -> None:
    path = with_matrix(plain, tmp_path / "turned.mp4", MATRICES[exif])
    for short_side in (None, 48):
        stored = read_frames(plain, [2, 0], short_side).numpy()
        assert np.array_equal(read_frames(path, [2, 0], short_side).numpy(), shown(stored, MATRICES[exif]))
    with VideoReader(path) as video:
        whole = video.read([1], 72)
        height, width = whole.shape[2:]
        boxes = (Box(8, 4, 48, 48), Box(height - 40, width - 56, 40, 56), Box(0, 0, height, width))
        crops = video.read_crops([1], 72, lambda height, width: CropSpec(boxes, 48))
        exact = video.read_crops([1], 96, lambda height, width: CropSpec((Box(3, 5, 64, 64),), 64))
    for crop, box in zip(crops, boxes, strict=True):
        part = whole[..., box.top : box.top + box.height, box.left : box.left + box.width].float()
        expected = torch.nn.functional.interpolate(part, (48, 48), mode="bicubic", antialias=True)
        assert float((crop.float() - expected).abs().mean()) < 2.5
    assert torch.equal(exact[0], read_frames(path, [1], None)[..., 3:67, 5:69])


@pytest.mark.parametrize("exif", MATRICES)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_frames_in_a_folder_are_shown_as_their_exif_data_says(tmp_path: Path, exif: int, suffix: str) -> None:
    tags = Image.Exif()
    tags[0x112] = exif
    for name, data in (("plain", Image.Exif()), ("turned", tags)):
        (tmp_path / name).mkdir()
        Image.fromarray(pictures(1)[0]).save(tmp_path / name / f"0.{suffix}", exif=data)
    stored, turned = (read_frames(tmp_path / name, [0], None).numpy() for name in ("plain", "turned"))
    assert np.array_equal(turned, shown(stored, MATRICES[exif]))


def start_coded(extradata: bytes) -> bytes:
    """Returns the parameter sets in H.264 headers of an .mp4 file (avcC) with start codes."""
    sps_end = 8 + int.from_bytes(extradata[6:8], "big")
    pps = extradata[sps_end + 3 : sps_end + 3 + int.from_bytes(extradata[sps_end + 1 : sps_end + 3], "big")]
    return b"\0\0\0\1" + extradata[8:sps_end] + b"\0\0\0\1" + pps


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize(("orientation", "exif"), [("rotate=90", 8), ("flip=horizontal", 2), ("flip=vertical", 4)])
def test_the_orientation_in_the_first_picture_holds_for_all(
    plain: Path, tmp_path: Path, orientation: str, exif: int, suffix: str
) -> None:
    path, upright = tmp_path / f"sei.{suffix}", tmp_path / f"plain.{suffix}"
    for target, message in ((path, f"=display_orientation=insert:{orientation}"), (upright, "")):
        with av.open(str(plain)) as source, av.open(str(target), "w") as container:
            stream = source.streams.video[0]
            copy = container.add_stream_from_template(stream)
            copy.codec_context.extradata = start_coded(stream.codec_context.extradata or b"")  # as the filter's packets
            add = BitStreamFilterContext(f"h264_metadata{message}", stream)
            for packet in source.demux(stream):
                for changed in add.filter(packet if packet.size else None):
                    changed.stream = copy
                    container.mux(changed)
    stored = read_frames(upright, range(3), None).numpy()
    for wanted in ([2], [1], [0, 1, 2]):
        assert np.array_equal(read_frames(path, wanted, None).numpy(), shown(stored[wanted], MATRICES[exif]))


@pytest.mark.parametrize(
    ("matrix", "meant"),
    [
        ((0.0, 0.0, 0.0, 0.0), 1),  # written by broken software, and ignored by players
        ((2.0, 0.0, 0.0, 0.5), 1),  # stretches the picture: the container's pixel aspect says so, too
        ((0.01, -0.99, 0.99, 0.01), 8),
        ((-0.99, 0.01, 0.01, 0.99), 2),
    ],
)
def test_almost_straight_matrices_are_the_straight_ones(
    plain: Path, tmp_path: Path, matrix: tuple[float, float, float, float], meant: int
) -> None:
    with open_video(with_matrix(plain, tmp_path / "a.mp4", matrix), sample_aspect=False) as video:
        found = video.read([1]).numpy()
    assert np.array_equal(found, shown(read_frames(plain, [1], None).numpy(), MATRICES[meant]))


@pytest.mark.parametrize("matrix", [(0.87, 0.5, -0.5, 0.87), (1, 0.3, 0, 1), (1, 1, 1, 1), (0.7, -0.7, 0.7, 0.7)])
def test_slanted_pictures_are_refused(plain: Path, tmp_path: Path, matrix: tuple[float, float, float, float]) -> None:
    path = with_matrix(plain, tmp_path / "slanted.mp4", matrix)
    angle = round(math.degrees(math.atan2(matrix[1], matrix[0])))
    with pytest.raises(VideoReadError, match=rf"slanted.mp4: .* by {angle} degrees, or skews it: only quarter turns"):
        read_frames(path, [0])
    with VideoReader(path) as video, pytest.raises(VideoReadError, match="quarter turns"):
        video.read_crops([0], 48, lambda height, width: CropSpec((Box(0, 0, 48, 48),), 48))


def test_a_mirrored_video_is_upright_when_re_encoded(plain: Path, tmp_path: Path) -> None:
    source = with_matrix(plain, tmp_path / "mirrored.mp4", MATRICES[4])
    settings = TranscodeSettings(short_side=96, crf=5)
    assert not transcode(TranscodingJob("mirrored", source, tmp_path / "copy.mp4", settings)).error
    copy, original = (read_frames(path, [1], None).float() for path in (tmp_path / "copy.mp4", source))
    assert float((copy - original).abs().mean()) < 2


def test_frames_are_not_kept_in_memory(plain: Path) -> None:
    with av.open(str(plain)) as container:
        frame = next(container.decode(video=0))
    gc.disable()
    try:
        assert orientation_of(frame) == AS_STORED
        assert not any(isinstance(holder, SideDataContainer) for holder in gc.get_referrers(frame))
    finally:
        gc.enable()
