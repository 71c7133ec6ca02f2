import pytest
import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching import (
    CategoryName,
    OptimalDescriptorSolver,
    TermWeights,
    TransportProblem,
    TransportWarning,
)
from ost_lightning.recognition.timelines import EmbeddedVideo, StretchSettings, stretch_scores, stretches
from ost_lightning.vocabulary import SentenceKind
from tests.recognition.timelines.inputs import embedded_video, unit_vectors

CLASSES = ("archery", "surfing", "yoga")
TEXTS: dict[SentenceKind, Tensor] = {
    "spatio": unit_vectors(3, 4, 32, seed=1),
    "temporal": unit_vectors(3, 4, 32, seed=2),
}


def video(steps: int = 40, **options: object) -> EmbeddedVideo:
    return embedded_video(unit_vectors(steps, 32), **options)  # type: ignore[arg-type]


def looks(of: EmbeddedVideo, start: int, end: int, count: int = 8) -> Tensor:
    """Middle frames of equal parts."""
    return torch.stack([of.embeddings[of.rows[int(start + (k + 0.5) / count * (end - start))]] for k in range(count)])


def test_transport_is_that_of_the_od_solver_with_an_order() -> None:
    scores = stretch_scores(video(), TEXTS, CLASSES)
    solver = OptimalDescriptorSolver(
        max_iterations=1000, terms=TermWeights(0, 0, 1, 1), temporal=TransportProblem(order_sigma=0.3)
    )
    for m in (0, 7, len(scores.spans) - 1):
        frames = looks(scores.video, *scores.spans[m].tolist())[None]
        expected = solver(frames, TEXTS["spatio"], TEXTS["temporal"])[0]
        torch.testing.assert_close(scores.transported[m], expected)
        cosines, plan = solver.cosines_and_plan(frames, TEXTS["temporal"], "temporal")
        worst = ((plan * cosines).sum(-2) / plan.sum(-2)).amin(-1)[0]
        torch.testing.assert_close(scores.worst[m], worst)
    torch.testing.assert_close(scores.evidence, 0.75 * scores.transported + 0.25 * scores.worst)
    assert scores.scored_by == "transport and a quarter of the worst step"


def test_stretches_start_at_the_stride_and_end_with_the_video() -> None:
    settings = StretchSettings(lengths=(1.0, 2.0), stride=0.5)
    scores = stretch_scores(video(11), TEXTS, CLASSES, settings)
    assert [tuple(span) for span in scores.spans.tolist()] == [
        (0, 4),
        (0, 8),
        (2, 6),
        (2, 10),
        (3, 11),
        (4, 8),
        (6, 10),
        (7, 11),
    ]
    assert scores.seconds()[-1].tolist() == [1.75, 2.75]


def test_stretches_do_not_reach_into_gaps() -> None:
    rows = torch.arange(20)
    rows[9:12] = -1
    scores = stretch_scores(video(20, rows=rows), TEXTS, CLASSES, StretchSettings(lengths=(2.0,), stride=0.25))
    assert {tuple(span) for span in scores.spans.tolist()} == {(0, 8), (1, 9), (12, 20)}


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_video_shorter_than_all_lengths_is_one_stretch(steps: int) -> None:
    scores = stretch_scores(video(steps), TEXTS, CLASSES)
    assert scores.spans.tolist() == [[0, steps]]
    assert scores.evidence.shape == (1, 3)


def test_nothing_readable_gives_no_stretches() -> None:
    unread = embedded_video(torch.empty(0, 32), rows=torch.full((9,), -1))
    assert stretch_scores(unread, TEXTS, CLASSES).evidence.shape == (0, 3)


def test_parts_and_order_of_classes_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stretch_scores(video(), TEXTS, CLASSES)
    monkeypatch.setattr(stretches, "_ENTRIES", 500)
    turned = {kind: text.flip(0) for kind, text in TEXTS.items()}
    parts = stretch_scores(video(), turned, CLASSES[::-1])
    torch.testing.assert_close(parts.evidence.flip(1), whole.evidence)


def test_a_frame_that_stays_on_screen_counts_at_every_step() -> None:
    frames = unit_vectors(3, 32)
    rows = torch.tensor([0] * 5 + [1] * 4 + [2] * 7)
    still = stretch_scores(embedded_video(frames, rows=rows), TEXTS, CLASSES)
    repeated = stretch_scores(embedded_video(frames[rows]), TEXTS, CLASSES)
    torch.testing.assert_close(still.evidence, repeated.evidence)


def test_problems_that_converge_late_are_solved_as_well_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = stretch_scores(video(), TEXTS, CLASSES).evidence
    monkeypatch.setattr(stretches, "_FIRST_ITERATIONS", 3)
    torch.testing.assert_close(stretch_scores(video(), TEXTS, CLASSES).evidence, expected)


def test_transport_that_has_not_converged_is_told() -> None:
    with pytest.warns(
        TransportWarning, match=r"match.mp4: \d+ transport problems have not converged .* epsilon \(0.001"
    ):
        stretch_scores(video(), TEXTS, CLASSES, StretchSettings(epsilon=1e-3))


@pytest.mark.filterwarnings("ignore::ost_lightning.matching.TransportWarning")
def test_steps_in_their_order_fit_better_than_reversed_ones() -> None:
    shown = embedded_video(TEXTS["temporal"][0].repeat_interleave(2, 0))
    turned = TEXTS | {"temporal": TEXTS["temporal"].flip(1)}
    for sigma, better in ((0.3, True), (None, False)):
        settings = StretchSettings(order_sigma=sigma)
        right, wrong = (stretch_scores(shown, texts, CLASSES, settings).evidence[0, 0] for texts in (TEXTS, turned))
        assert bool(right > wrong + 5e-4) == better


def test_one_kind_of_descriptor_is_enough() -> None:
    both = stretch_scores(video(), TEXTS, CLASSES)
    temporal = stretch_scores(video(), {"temporal": TEXTS["temporal"]}, CLASSES)
    spatio = stretch_scores(video(), {"spatio": TEXTS["spatio"]}, CLASSES)
    torch.testing.assert_close((temporal.transported + spatio.transported) / 2, both.transported)
    assert torch.equal(spatio.worst, spatio.transported)
    assert spatio.scored_by == "transport"


def test_names_alone_are_compared_with_the_mean_frame() -> None:
    names = unit_vectors(3, 2, 32, seed=3)
    scores = stretch_scores(video(), {"name": names}, CLASSES)
    expected = CategoryName()(looks(scores.video, *scores.spans[5].tolist())[None], names)[0]
    torch.testing.assert_close(scores.evidence[5], expected)
    assert scores.scored_by == "pooled cosine with class names"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"lengths": ()}, "lengths is empty"),
        ({"lengths": (2.0, -1.0)}, r"lengths\[1\] is -1"),
        ({"stride": 0.0}, "stride is 0"),
        ({"looks": 0}, "looks is 0"),
        ({"order_sigma": float("nan")}, "order_sigma is nan"),
        ({"epsilon": float("inf")}, "epsilon is inf"),
    ],
)
def test_settings_out_of_range_are_rejected(setting: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=f"StretchSettings.{message}"):
        StretchSettings(**setting)  # type: ignore[arg-type]
