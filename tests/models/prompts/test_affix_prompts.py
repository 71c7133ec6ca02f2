from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from ost_lightning.errors import UserError
from ost_lightning.models import (
    AffixPrompts,
    LogitScale,
    PlainTemporalTransformer,
    PromptedVideoCLIP,
    TokenizedSentences,
)
from ost_lightning.models.checkpoints.layouts.affix_prompts import AffixPromptsLayout
from ost_lightning.models.encoders.promptable import TowerShape
from tests.models.released import Released, assert_gradients, assert_outputs_and_loss, converted, sentences

SHAPE = TowerShape(width=6, layers=1, heads=1, positions=20)


@pytest.fixture(scope="module")
def released() -> Released:
    return Released.load("prompts/a5")


@pytest.fixture(scope="module")
def model(released: Released, tmp_path_factory: pytest.TempPathFactory) -> PromptedVideoCLIP:
    """The authors' model with the authors' weights, from a file in their layout."""
    number, folder = released.number, tmp_path_factory.mktemp("a5")
    heads = (number("vwidth") // 64, number("theads"))
    found = converted({f"module.{name}": tensor for name, tensor in released.part("state/").items()}, folder, heads)
    assert (found.layout, found.overlay) == ("a5", "a5")
    assert found.settings == {"temporal_head.layers": 1, "temporal_head.positions": number("frames")}
    model = PromptedVideoCLIP(
        str(folder / "converted"),
        freeze_vision=True,
        freeze_text=True,
        logit_scale=LogitScale(initial=1 / 0.07, trained=False),
        text_prompts=partial(AffixPrompts, prefix=number("prefix"), postfix=number("postfix")),
        temporal_head=partial(
            PlainTemporalTransformer,
            layers=number("tfm_layers"),
            heads=number("tfm_heads"),
            positions=number("frames"),
        ),
    )
    own = model.preprocessing
    assert (own.statistics_name, own.filter, own.frames, own.short_side) == ("clip", "bicubic", number("frames"), 32)
    return model.train()


def names(released: Released) -> TokenizedSentences:
    found = sentences(released["inputs/token_ids"])
    return TokenizedSentences(found.tokens, found.lengths, torch.zeros(len(found.tokens["name"]), dtype=torch.int64))


def logits(model: PromptedVideoCLIP, released: Released) -> Tensor:
    frames = model.encode_frames(released["inputs/frames_uint8"])
    texts = model.encode_sentences(names(released))["name"]
    return model.similarity_to_logits(frames[:, 0] @ texts[:, 0].T)


def test_outputs_and_loss_are_those_of_the_authors_code(model: PromptedVideoCLIP, released: Released) -> None:
    with torch.no_grad():
        frames = model.encode_frames(released["inputs/frames_uint8"])
        texts = model.encode_sentences(names(released))["name"]
    assert_outputs_and_loss(released, frames[:, 0], texts[:, 0], logits(model, released))


def test_gradients_are_those_of_the_authors_code(model: PromptedVideoCLIP, released: Released) -> None:
    """They pass through the frozen text tower, of which nothing gets one."""
    model.zero_grad()
    F.cross_entropy(logits(model, released), released["training/labels"]).backward()
    expected = released.part("training/gradients/")
    assert len(expected) == 5
    assert_gradients(model, AffixPromptsLayout(), released.part("state/"), expected)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is None for name, gradient in gradients.items() if name.startswith("encoder."))
    # rows that no class reads before its end have no gradient, the first one included
    table = gradients["text_prompts.table.weight"]
    assert table is not None
    assert torch.equal(table.any(-1), expected["embedding.weight"].any(-1))


def test_vectors_stand_where_the_authors_code_puts_them(model: PromptedVideoCLIP, released: Released) -> None:
    tokens = released["inputs/token_ids"]
    assert model.text_prompts is not None
    ends = tokens.argmax(-1)
    embedded = model.encoder.model.text_model.embeddings.token_embedding(tokens)[:, : int(ends.max()) + 1]
    found = model.text_prompts(embedded, ends, torch.zeros(len(tokens), dtype=torch.int64))
    assert torch.equal(ends + model.text_prompts.count, released["features/end_positions"])
    for row, expected, end in zip(found, released["features/prompt_embeddings"], ends.tolist(), strict=True):
        length = end + model.text_prompts.count + 1
        assert_close(row[:length], expected[:length])


@pytest.mark.parametrize("postfix_by", ["position", "slot"])
@pytest.mark.parametrize(("prefix", "postfix"), [(2, 3), (0, 2), (3, 0)])
def test_every_sentence_keeps_its_tokens_between_the_vectors(postfix_by: str, prefix: int, postfix: int) -> None:
    """Written out token by token, for sentences of one to four tokens."""
    prompts = AffixPrompts(SHAPE, prefix, postfix, postfix_by)  # type: ignore[arg-type]
    embedded, ends = torch.randn(4, 6, 6), torch.tensor([2, 3, 4, 5])
    table = prompts.table.weight
    found = prompts(embedded, ends, torch.zeros(4, dtype=torch.int64))
    for row, tokens, end in zip(found, embedded, ends.tolist(), strict=True):
        before = table[1 : prefix + 1] if postfix_by == "position" else table[:prefix]
        start = prefix + end
        after = table[start : start + postfix] if postfix_by == "position" else table[prefix : prefix + postfix]
        expected = torch.cat([tokens[:1], before, tokens[1:end], after, tokens[end : end + 1]])
        assert torch.equal(row[: len(expected)], expected)


def test_by_slot_every_name_is_followed_by_the_same_vectors() -> None:
    prompts = AffixPrompts(SHAPE, 1, 2, "slot")
    assert prompts.table.weight.shape == (3, 6)
    assert AffixPrompts(SHAPE, 1, 2).table.weight.shape == (20, 6)


def test_new_vectors_are_small() -> None:
    torch.manual_seed(1)
    shape = TowerShape(width=512, layers=12, heads=8, positions=77)
    assert float(AffixPrompts(shape).table.weight.detach().std()) == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize(
    ("prefix", "postfix", "message"),
    [
        (0, 0, r"0 vectors per sentence, but the text tower has 20 positions.*choose 1 to 17"),
        (9, 9, r"18 vectors per sentence, but the text tower has 20 positions"),
        (-1, 3, r"prefix -1 and postfix 3: expected at least 0"),
    ],
)
def test_numbers_that_leave_no_room_for_a_sentence_are_refused(prefix: int, postfix: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        AffixPrompts(SHAPE, prefix, postfix)
    AffixPrompts(SHAPE, 9, 8)
