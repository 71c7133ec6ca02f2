from functools import partial
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from ost_lightning.callbacks import CompiledVision
from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName
from ost_lightning.models import AffixPrompts, PromptedVideoCLIP, VideoPrompts
from ost_lightning.tasks import SupervisedRecognition


def test_a_tower_that_prompts_run_layer_by_layer_is_not_compiled(tmp_path: Path) -> None:
    trainer, affix = (
        Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path),
        partial(AffixPrompts, prefix=2),
    )
    text = SupervisedRecognition(PromptedVideoCLIP("tiny", text_prompts=affix), CategoryName())
    CompiledVision().setup(trainer, text, "fit")  # its vision tower is run as a whole
    vision = SupervisedRecognition(PromptedVideoCLIP("tiny", vision_prompts=VideoPrompts), CategoryName())
    with pytest.raises(UserError, match=r"CompiledVision compiles the vision tower as a whole.*remove the callback"):
        CompiledVision().setup(trainer, vision, "fit")
