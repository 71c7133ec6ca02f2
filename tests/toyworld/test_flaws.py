from itertools import pairwise

import pytest

from ost_lightning.toyworld.flaws import flawed
from ost_lightning.toyworld.grammar import DRAWS, GROUPS, Group, draw_classes
from ost_lightning.toyworld.vocabulary import EXTRAS, STATES


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("draw", range(DRAWS))
def test_one_of_four_is_hallucinated_and_a_third_is_out_of_order(draw: int, group: Group) -> None:
    actions = draw_classes(draw, "hard")[group]
    answers = flawed(actions, "a")
    misordered = 0
    for action, answer in zip(actions, answers, strict=True):
        assert (answer.name, answer.appearance, answer.steps) == (action.name, action.appearance, action.steps)
        assert [a == b for a, b in zip(action.spatio, answer.spatio, strict=True)].count(False) == 1
        (foreign,) = set(answer.temporal) - set(action.temporal)
        true = {text.format(prop=action.appearance.prop) for step in action.steps for text in STATES[step]}
        assert foreign not in true
        places = [action.temporal.index(text) for text in answer.temporal if text != foreign]
        assert len(places) == 3
        misordered += any(first > second for first, second in pairwise(places))
    assert misordered == round(len(actions) / 3)


def test_hallucinations_fit_the_name_and_the_group() -> None:
    seen = draw_classes(0, "hard")["seen"]
    extras = {action.appearance.extra for action in seen}
    phrases = {phrase for extra in extras for phrase in EXTRAS[extra or ""]}
    for action, answer in zip(seen, flawed(seen, "a"), strict=True):
        assert answer.spatio[3] in phrases
        assert action.appearance.prop in answer.spatio[2]
        for text in set(answer.temporal) - set(action.temporal):
            assert text in {form.format(prop=action.appearance.prop) for forms in STATES.values() for form in forms}


def test_flaws_are_seeded() -> None:
    actions = draw_classes(1, "hard")["unseen"]
    assert flawed(actions, "a") == flawed(actions, "a") != flawed(actions, "b")
