import math
from pathlib import Path

import pytest
import torch

from ost_lightning.errors import UserError
from ost_lightning.models import LogitScale, VideoCLIP


def test_the_scale_can_start_elsewhere_and_be_fixed() -> None:
    model = VideoCLIP("tiny", logit_scale=LogitScale(initial=1 / 0.07, trained=False))
    similarities = torch.tensor([[0.7, 0.0]])
    torch.testing.assert_close(model.similarity_to_logits(similarities), torch.tensor([[10.0, 0.0]]))
    assert not model.encoder.model.logit_scale.requires_grad
    assert VideoCLIP("tiny").encoder.model.logit_scale.requires_grad


def test_a_limit_only_decreases_the_scale() -> None:
    model = VideoCLIP("tiny", logit_scale=LogitScale(maximum=50))
    scale = model.encoder.model.logit_scale
    for before, after in ((2.0, 2.0), (5.0, math.log(50))):
        scale.data.fill_(before)
        model.limit_logit_scale()
        assert float(scale) == pytest.approx(after)
    assert scale.requires_grad


def test_initial_weights_do_not_replace_a_scale_that_is_set(tmp_path: Path) -> None:
    VideoCLIP("tiny").save_pretrained(tmp_path)
    model = VideoCLIP("tiny", init_from=tmp_path, logit_scale=LogitScale(initial=50))
    assert float(model.encoder.model.logit_scale.exp()) == pytest.approx(50)


def test_impossible_scales_are_rejected() -> None:
    with pytest.raises(UserError, match=r"logit_scale\.initial is 0: expected a positive number"):
        LogitScale(initial=0)
    with pytest.raises(UserError, match=r"initial is 100, more than logit_scale\.maximum, which is 50"):
        LogitScale(initial=100, maximum=50)


def test_further_weights_are_frozen_by_name() -> None:
    model = VideoCLIP("tiny", frozen_weights=["*token_embedding*"])
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == ["encoder.model.text_model.embeddings.token_embedding.weight"]


def test_a_pattern_without_weights_is_rejected_with_a_name_that_exists() -> None:
    with pytest.raises(UserError, match=r"frozen_weights has the pattern 'token_embeding'.*token_embedding\.weight, "):
        VideoCLIP("tiny", frozen_weights=["token_embeding"])
