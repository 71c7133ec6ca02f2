"""Drafts are made of words with known directions, so that every support is known."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ost_lightning.errors import UserError
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.text.consensus import agreement, consensus, unsupported

MEANINGS = ("run", "jump", "land", "bow", "tie", "sing", "cook", "fly")


def embed(texts: Sequence[str]) -> Tensor:
    """Texts of one meaning, `run`, `run again`, are nearly parallel; other meanings are orthogonal."""
    vectors = torch.zeros(len(texts), len(MEANINGS) + 1)
    for row, text in enumerate(texts):
        vectors[row, MEANINGS.index(text.split()[0])] = 1
        vectors[row, -1] = 0.1 * len(text.split())
    return normalize(vectors, dim=-1)


def space(*lists: Sequence[str], origin: str = "made up") -> LabelSpace:
    names = tuple(f"class {k}" for k in range(len(lists)))
    descriptors = {name: Descriptors(tuple(texts), tuple(texts)) for name, texts in zip(names, lists, strict=True)}
    return LabelSpace(names, descriptors, origin=origin)


DRAFTS = (
    space(["run", "jump", "fly", "bow"]),  # fly is hallucinated
    space(["run again", "cook", "land again", "bow again"]),  # cook is
    space(["sing", "jump too", "land too", "bow too"]),  # sing is
)


def test_hallucinations_of_single_drafts_are_left_out() -> None:
    found = consensus(DRAFTS, embed, 4)
    kept = found.labels.descriptors["class 0"].temporal
    assert [text.split()[0] for text in kept] == ["run", "jump", "land", "bow"]
    supports = {one.text: one.support for one in found.descriptors if one.kind == "spatio"}
    assert all(supports[text] == 0 for text in ("fly", "cook", "sing"))
    assert supports["bow"] > 1.5 * supports["run"] > 0  # two other drafts agree, and one


def test_every_descriptor_of_every_draft_is_reported() -> None:
    found = consensus(DRAFTS, embed, 4)
    assert len(found.descriptors) == 2 * 3 * 4
    assert sum(one.kept for one in found.descriptors) == 2 * 4
    assert {(one.draft, one.rank) for one in found.descriptors} == {(d, r) for d in range(3) for r in range(4)}


def test_the_order_is_that_of_the_mean_positions() -> None:
    drafts = space(["bow", "run", "jump"]), space(["run again", "bow again", "jump again"])
    third = space(["bow too", "run too", "jump too"])
    kept = consensus([*drafts, third], embed, 3).labels.descriptors["class 0"].temporal
    assert [text.split()[0] for text in kept] == ["bow", "run", "jump"]


def test_equal_drafts_change_nothing() -> None:
    draft = space(["run", "jump", "land"], ["bow", "tie", "sing"])
    assert consensus([draft, draft, draft], embed, 3).labels.descriptors == draft.descriptors


def test_a_meaning_is_kept_once_while_others_are_left() -> None:
    drafts = space(["run", "jump"]), space(["run again", "land"])
    kept = consensus(drafts, embed, 2).labels.descriptors["class 0"].spatio
    assert [text.split()[0] for text in kept] == ["run", "jump"]


def test_a_list_is_filled_when_all_drafts_say_the_same() -> None:
    same = torch.eye(4)[:2]
    _, kept = agreement([same, same], 2)
    assert kept == [(0, 0), (0, 1)]
    _, kept = agreement([torch.eye(4)[[0, 0]], torch.eye(4)[[0, 0]]], 2)
    assert len(set(kept)) == 2


def test_lists_may_be_longer_than_what_is_kept() -> None:
    drafts = space(["run", "jump", "fly"]), space(["cook", "jump too", "run too", "sing"])
    kept = consensus(drafts, embed, 2).labels.descriptors["class 0"].spatio
    assert sorted(text.split()[0] for text in kept) == ["jump", "run"]


def test_the_scale_of_drafts_does_not_depend_on_their_number() -> None:
    vectors = torch.eye(3)
    for number in (2, 5):
        supports, _ = agreement([vectors] * number, 3)
        assert supports == [[1.0] * 3] * number


def test_a_single_draft_is_refused() -> None:
    with pytest.raises(UserError, match="at least two drafts"):
        consensus(DRAFTS[:1], embed, 4)


def test_drafts_of_other_classes_are_refused() -> None:
    other = LabelSpace(("another",), {"another": DRAFTS[0].descriptors["class 0"]}, origin="elsewhere")
    with pytest.raises(UserError, match="classes of elsewhere"):
        consensus([DRAFTS[0], other], embed, 4)


def test_short_lists_are_refused() -> None:
    with pytest.raises(UserError, match="fewer than 5 spatio"):
        consensus(DRAFTS, embed, 5)


def test_descriptors_that_no_other_draft_has_are_findings() -> None:
    found = unsupported(DRAFTS[0], DRAFTS[1:], embed)
    assert [(one.rule, one.severity, one.name, one.kind, one.text) for one in found] == [
        ("unsupported", "warning", "class 0", kind, "fly") for kind in ("spatio", "temporal")
    ]
    assert "is in no other draft (support 0.00)" in str(found[0])
    assert not unsupported(DRAFTS[0], [DRAFTS[0]], embed)
