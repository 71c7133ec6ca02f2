from collections import Counter
from hashlib import sha256
from itertools import pairwise

import pytest

from ost_lightning.errors import UserError
from ost_lightning.toyworld.grammar import DRAWS, GROUPS, draw_classes
from ost_lightning.toyworld.vocabulary import STATES, VERBS


@pytest.mark.parametrize("draw", range(DRAWS))
def test_classes_of_a_draw_are_distinct_and_complete(draw: int) -> None:
    groups = draw_classes(draw)
    assert {name: len(groups[name]) for name in GROUPS} == {"seen": 40, "unseen": 20, "order": 20}
    names = [action.name for name in GROUPS for action in groups[name]]
    assert len(set(names)) == 80
    for name in GROUPS:
        for action in groups[name]:
            assert len(action.spatio) == len(action.temporal) == len(set(action.steps)) == 4
            assert action.name.endswith(action.appearance.prop)
            for step, phrase in zip(action.steps, action.temporal, strict=True):
                assert phrase in {text.format(prop=action.appearance.prop) for text in STATES[step]}


def test_classes_of_the_standard_setting_stay_as_they_were_published() -> None:
    text = "".join(repr(draw_classes(draw)) for draw in range(DRAWS))
    assert sha256(text.encode()).hexdigest()[:16] == "3bb65d3b1f7b1bff"


def test_the_hard_setting_has_more_and_larger_families() -> None:
    groups = draw_classes(0, "hard")
    assert {name: len(groups[name]) for name in GROUPS} == {"seen": 42, "unseen": 30, "order": 20}
    for start in range(0, 30, 6):
        assert len(set.intersection(*(set(action.steps) for action in groups["unseen"][start : start + 6]))) >= 2
    assert not {action.name for action in groups["unseen"]} & {action.name for action in groups["seen"]}
    assert groups["unseen"][:4] != draw_classes(0)["unseen"][:4]


def test_draws_are_reproducible_and_differ() -> None:
    assert draw_classes(0) == draw_classes(0)
    assert len({draw_classes(draw)["unseen"] for draw in range(DRAWS)}) == DRAWS
    with pytest.raises(UserError, match="choose 0 to 4"):
        draw_classes(DRAWS)


def test_seen_classes_use_a_part_of_the_vocabulary() -> None:
    groups = draw_classes(0)
    seen = {step for action in groups["seen"] for step in action.steps}
    assert len(seen) <= 18
    assert {step for action in groups["unseen"] for step in action.steps} - seen


def test_families_are_confusable() -> None:
    actions = draw_classes(0)["unseen"]
    for start in range(0, len(actions), 4):
        family = actions[start : start + 4]
        shared = set.intersection(*(set(action.steps) for action in family))
        assert len(shared) >= 2
        settings = Counter(action.appearance.setting for action in family)
        assert settings.most_common(1)[0][1] >= 2 or start  # most families, not all, share the setting


def test_order_pairs_show_the_same_in_opposite_order() -> None:
    actions = draw_classes(0)["order"]
    for first, second in list(pairwise(actions))[::2]:
        assert first.steps == second.steps[::-1]
        assert first.temporal == second.temporal[::-1]
        assert (first.appearance, first.spatio) == (second.appearance, second.spatio)
        assert first.name != second.name


def test_each_verb_has_a_state_of_its_own() -> None:
    assert set(VERBS.values()) <= set(STATES)
    assert len(set(VERBS.values())) == len(VERBS)
