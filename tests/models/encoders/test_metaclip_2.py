from pathlib import Path

import torch
from torch.nn.functional import cosine_similarity
from transformers import CLIPModel

from ost_lightning.models import VideoCLIP
from tests.models.encoders.families import FAMILIES, PLAIN, changed_config, text_vectors


@torch.no_grad()
def test_metaclip_2_is_read_at_its_end_token_whatever_its_configuration_says(tmp_path: Path) -> None:
    """`CLIPModel` takes the id 2 for OpenAI's old configuration, and reads the largest token."""
    family = FAMILIES["MetaCLIP 2"]
    original = family.write(tmp_path / "original")
    folder = changed_config(original, tmp_path / "changed", "text", eos_token_id=58)
    right = text_vectors(VideoCLIP(str(original)).eval())
    model = VideoCLIP(str(folder)).eval()
    assert torch.equal(text_vectors(model), right)
    model.save_pretrained(tmp_path / "saved")  # with the right id, so that transformers reads it, too
    tokens = family.tokens(PLAIN, padded=True)
    saved = family.reference(tmp_path / "saved").get_text_features(**tokens).pooler_output
    torch.testing.assert_close(torch.nn.functional.normalize(saved, dim=-1), right[:, 0], atol=1e-5, rtol=0)
    wrong = CLIPModel.from_pretrained(original).eval().get_text_features(**tokens).pooler_output
    assert float(cosine_similarity(wrong, right[:, 0], dim=-1).min()) < 0.9
