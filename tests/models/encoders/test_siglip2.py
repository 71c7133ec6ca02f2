import json
import shutil
from pathlib import Path

import pytest
import torch

from ost_lightning.models import CheckpointError, VideoCLIP
from tests.models.encoders.families import FAMILIES, PLAIN, clips, inputs_of

FAMILY = FAMILIES["SigLIP 2 NaFlex"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILY.write(tmp_path_factory.mktemp("siglip2"))


@torch.no_grad()
@pytest.mark.parametrize("patches", [4, 15, 25])
def test_naflex_reads_the_largest_square_of_its_number_of_patches(patches: int, folder: Path, tmp_path: Path) -> None:
    """15 patches are not a square, so 9 are used; for 4 and 25 the position embeddings are resized."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    settings = {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 16, "max_num_patches": patches}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    model = VideoCLIP(str(tmp_path)).eval()
    assert model.image_size == {4: 32, 15: 48, 25: 80}[patches]
    videos = clips(size=model.image_size)
    reference = FAMILY.reference(tmp_path)(
        **inputs_of(FAMILY, videos.flatten(0, 1)), **FAMILY.tokens(PLAIN, padded=True)
    )
    torch.testing.assert_close(model.encode_frames(videos).flatten(0, 1), reference.image_embeds, atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path / "saved")
    assert VideoCLIP(str(tmp_path / "saved")).preprocessing == model.preprocessing


def test_naflex_with_a_damaged_number_of_patches_is_rejected(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "preprocessor_config.json").write_text('{"max_num_patches": "many"}')
    with pytest.raises(CheckpointError, match="max_num_patches is 'many', expected a number of patches such as 256"):
        VideoCLIP(str(tmp_path))
