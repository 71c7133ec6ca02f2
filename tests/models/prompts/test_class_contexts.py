import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from ost_lightning.errors import UserError
from ost_lightning.models import CheckpointError, ClassContexts, PromptedVideoCLIP, VideoCLIP
from ost_lightning.models.encoders.promptable import TowerShape
from ost_lightning.text import LabelSpace, SentenceSet, Templates

SHAPE = TowerShape(width=6, layers=1, heads=1, positions=20)
TRAINED = LabelSpace(("juggling", "riding horse", "drum"), origin="trained")
OTHER = LabelSpace(("drum", "archery"), origin="other")


def contexts(**settings: object) -> ClassContexts:
    return ClassContexts(SHAPE, 2, **settings)  # type: ignore[arg-type]


def clip(**settings: object) -> PromptedVideoCLIP:
    prompts = partial(ClassContexts, contexts_per_class=3, **settings)
    return PromptedVideoCLIP("tiny", freeze_text=True, text_prompts=prompts).eval()


def sentences(labels: LabelSpace) -> SentenceSet:
    return Templates.load("coop").apply(labels, ("name",), 1)


def embedded(model: VideoCLIP, labels: LabelSpace) -> torch.Tensor:
    with torch.no_grad():
        return model.encode_sentences(model.tokenize(sentences(labels)))["name"][:, 0]


def test_the_training_classes_get_contexts_of_their_own() -> None:
    prompts = contexts()
    assert prompts.names == ()
    prompts.set_classes(TRAINED)
    assert prompts.names == TRAINED.names
    assert prompts.contexts.shape == (3, 2, 6)
    before = prompts.contexts
    prompts.set_classes(TRAINED)  # a resumed training
    assert prompts.contexts is before
    assert prompts.rows_of(TRAINED, 3) == [0, 1, 2]
    prompts.set_classes(TRAINED.select(TRAINED.names[::-1]))
    assert prompts.contexts is before


def test_new_contexts_are_small() -> None:
    torch.manual_seed(0)
    prompts = ClassContexts(TowerShape(width=512, layers=1, heads=8, positions=77))
    prompts.set_classes(LabelSpace(tuple(map(str, range(20)))))
    assert float(prompts.contexts.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_new_contexts_depend_on_the_seed_of_the_construction_alone() -> None:
    found = []
    for numbers in (0, 7):
        torch.manual_seed(3)
        prompts = contexts()
        torch.randn(numbers)  # such as the order of the videos, which depends on the number of processes
        prompts.set_classes(TRAINED)
        found.append(prompts.contexts.detach())
    assert torch.equal(*found)
    torch.manual_seed(4)
    other = contexts()
    other.set_classes(TRAINED)
    assert not torch.equal(found[0], other.contexts)


def test_contexts_stand_behind_the_start_token() -> None:
    prompts = contexts()
    prompts.set_classes(TRAINED)
    tokens = torch.randn(2, 4, 6)
    found = prompts(tokens, torch.tensor([3, 3]), torch.tensor([2, 0]))
    for row, own, index in zip(found, tokens, (2, 0), strict=True):
        assert torch.equal(row, torch.cat([own[:1], prompts.contexts[index], own[1:]]))


def test_the_same_classes_in_another_order_keep_their_contexts() -> None:
    model = clip()
    model.set_training_classes(TRAINED)
    order = [2, 0, 1]
    reordered = LabelSpace(tuple(TRAINED.names[index] for index in order))
    assert_close(embedded(model, reordered), embedded(model, TRAINED)[order])


@pytest.mark.parametrize(
    ("labels", "found"),
    [(OTHER, "label space other has others, such as 'archery'"), (TRAINED.select(["drum"]), "only 1")],
)
def test_another_label_space_is_refused_by_name(labels: LabelSpace, found: str) -> None:
    model = clip()
    model.set_training_classes(TRAINED)
    with pytest.raises(UserError, match=rf"belong to 3 classes, .*{found}.*text_prompts\.other_classes to plain"):
        model.tokenize(sentences(labels))
    with pytest.raises(UserError, match=r"sentences are of no label space"):
        model.tokenize(SentenceSet({"name": (("drum.",),)}))
    assert model.remark_on(labels) is None


def test_on_request_another_label_space_gets_sentences_without_contexts() -> None:
    """`drum` has trained contexts, but not in this label space."""
    model = clip(other_classes="plain")
    model.set_training_classes(TRAINED)
    with pytest.warns(UserWarning, match=r"has others, such as 'archery'\. These are scored by sentences without cont"):
        found = embedded(model, OTHER)
    assert_close(found, embedded(VideoCLIP("tiny").eval(), OTHER))
    assert not torch.allclose(embedded(model, TRAINED)[2], found[0], atol=1e-3)
    assert "without contexts" in str(model.remark_on(OTHER))
    assert model.remark_on(TRAINED) is None


def test_before_training_there_are_no_contexts() -> None:
    with pytest.raises(UserError, match=r"no classes have been set: .*set_training_classes\(labels\)"):
        clip().tokenize(sentences(TRAINED))


def test_contexts_are_not_trained_for_other_classes() -> None:
    model = clip()
    model.set_training_classes(TRAINED)
    with pytest.raises(UserError, match=r"belong to 3 classes, .*Contexts can't be trained for other classes"):
        model.set_training_classes(OTHER)


def test_shared_contexts_belong_to_no_label_space() -> None:
    model = clip(class_specific=False)
    model.set_training_classes(TRAINED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = embedded(model, OTHER)
    assert not torch.allclose(found, embedded(VideoCLIP("tiny").eval(), OTHER), atol=1e-3)
    assert model.remark_on(OTHER) is None
    assert model.text_prompts is not None
    assert model.text_prompts.names == ()


def test_a_saved_folder_knows_its_classes(tmp_path: Path) -> None:
    model = clip()
    model.set_training_classes(TRAINED)
    model.save_pretrained(tmp_path)
    again = PromptedVideoCLIP(str(tmp_path), text_prompts=partial(ClassContexts, contexts_per_class=3)).eval()
    assert_close(embedded(again, TRAINED), embedded(model, TRAINED))
    with pytest.raises(UserError, match=r"belong to 3 classes"):
        again.tokenize(sentences(OTHER))
    begun = PromptedVideoCLIP("tiny", text_prompts=partial(ClassContexts, contexts_per_class=3), init_from=tmp_path)
    assert_close(embedded(begun.eval(), TRAINED), embedded(model, TRAINED))
    with pytest.raises(CheckpointError, match=r"tuned with a set of text prompts \(text_prompts\.safetensors\)"):
        VideoCLIP(str(tmp_path))
    with pytest.raises(CheckpointError, match=r"don't match video_clip\.text_prompts, a ClassContexts.*size mismatch"):
        PromptedVideoCLIP(str(tmp_path), text_prompts=partial(ClassContexts, contexts_per_class=4))


def test_weights_of_other_classes_are_refused() -> None:
    model, other = clip(), clip()
    model.set_training_classes(TRAINED)
    other.set_training_classes(OTHER)
    with pytest.raises(CheckpointError, match=r"belong to 2 classes, but the label space of this run has others"):
        model.take_classes(other.state_dict())
    damaged = {"text_prompts.classes": torch.tensor([1, 2], dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match=r"class names of the learned contexts are damaged"):
        clip().take_classes(damaged)


def test_weights_are_taken_in_their_own_order() -> None:
    model, other = clip(), clip()
    model.set_training_classes(TRAINED.select(TRAINED.names[::-1]))
    other.set_training_classes(TRAINED)
    parameter = model.text_prompts.contexts
    model.take_classes(other.state_dict())
    model.load_state_dict(other.state_dict())
    assert model.text_prompts.contexts is parameter  # an optimizer may hold it
    assert_close(embedded(model, TRAINED), embedded(other, TRAINED))


def test_contexts_beyond_the_positions_are_refused() -> None:
    ClassContexts(SHAPE, 17)
    with pytest.raises(UserError, match=r"18 vectors per sentence, but the text tower has 20 positions.*1 to 17"):
        ClassContexts(SHAPE, 18)
