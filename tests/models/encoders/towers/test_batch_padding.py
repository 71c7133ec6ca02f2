import pytest
import torch

from ost_lightning.models import VideoCLIP
from ost_lightning.models.encoders.towers.batch_padding import BatchPadding


def clips(count: int, frames: int = 2) -> torch.Tensor:
    return torch.randint(1, 256, (count, frames, 3, 48, 48), dtype=torch.uint8)


@pytest.fixture
def padding() -> BatchPadding:
    found = BatchPadding()
    found.on = True
    return found


@torch.no_grad()
def test_short_batches_get_the_size_of_the_largest_one(padding: BatchPadding) -> None:
    full, short = clips(4), clips(3)
    assert padding(full) is full
    padded = padding(short)
    assert torch.equal(padded[:3], short)
    assert not padded[3:].any()
    assert len(padded) == 4
    assert len(padding(clips(5))) == 5
    assert len(padding(clips(1))) == 5
    assert len(padding(clips(1, frames=3))) == 1  # another shape, which is compiled anyway


def test_nothing_is_padded_with_gradients_or_by_default(padding: BatchPadding) -> None:
    with torch.no_grad():
        padding(clips(4))
        unpadded = BatchPadding()
        assert [len(unpadded(clips(count))) for count in (4, 1)] == [4, 1]
    assert len(padding(clips(1))) == 1


@torch.inference_mode()
def test_padded_clips_reach_no_result() -> None:
    model, padded = VideoCLIP("tiny").eval(), VideoCLIP("tiny").eval()
    padded.batch_padding.on = True
    sizes: list[int] = []
    padded.normalization.register_forward_hook(lambda part, inputs, output: sizes.append(len(output)))
    for count in (4, 3, 1):
        batch = clips(count)
        found = padded.encode_frames(batch)
        assert found.shape == (count, 2, 128)
        torch.testing.assert_close(found, model.encode_frames(batch), atol=1e-5, rtol=0)
    assert sizes == [8, 8, 8]
