import random
import sys

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from ost_lightning.errors import UserError
from ost_lightning.video import TrainingTransform
from ost_lightning.video.clips.rand_augment import TimmRandAugment, check_rand_augment

VITA_CLIP = "rand-m7-n4-mstd0.5-inc1"
timm = pytest.importorskip("timm", reason="needs the extra timm")


def picture() -> torch.Tensor:
    return torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)


def test_all_frames_change_in_the_same_way() -> None:
    clip = picture().expand(5, 3, 32, 32)
    changed = TimmRandAugment("rand-m9-n3-mstd1-p1")(clip)
    assert bool((changed == changed[:1]).all())
    assert not torch.equal(changed, clip)


def test_frames_are_those_of_timm_with_the_same_seed() -> None:
    from PIL.Image import Resampling
    from timm.data.auto_augment import rand_augment_transform

    frame = picture()
    for seed in range(10):
        torch.manual_seed(seed)
        found = TimmRandAugment(VITA_CLIP)(frame[None])[0]
        torch.manual_seed(seed)
        drawn = int(torch.randint(2**32, ()))
        random.seed(drawn)
        np.random.seed(drawn)
        options = {"img_mean": (128,) * 3, "interpolation": Resampling.BICUBIC}
        expected = rand_augment_transform(VITA_CLIP, options)(F.to_pil_image(frame))
        assert torch.equal(found, F.pil_to_tensor(expected))


def test_clips_depend_on_their_seed_only_and_leave_other_generators_alone() -> None:
    clips = picture().expand(3, 1, 2, 3, 32, 32).contiguous()
    transform = TrainingTransform(32, color_jitter=0, grayscale=0, rand_augment="rand-m9-n4-p1")
    random.seed(1)
    expected = random.random()
    random.seed(1)
    changed = transform(clips.clone(), [3, 4, 3])
    assert random.random() == expected
    assert torch.equal(changed[0], changed[2])
    assert not torch.equal(changed[0], changed[1])


@pytest.mark.parametrize("setting", ["", "rand-x3", "rand-m7-n4.5.1", "original-mstd0.5", "rand-m", "randm7"])
def test_other_texts_are_rejected(setting: str) -> None:
    with pytest.raises(UserError, match=r"expected a configuration of timm such as rand-m7"):
        check_rand_augment(setting)


def test_a_missing_timm_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr("ost_lightning.video.clips.rand_augment.find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"pip install 'ost-lightning\[timm\]'"):
        check_rand_augment(VITA_CLIP)
