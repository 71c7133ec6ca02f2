import csv
import json
from io import StringIO

import pytest
import torch
from torch import Tensor

from ost_lightning.analysis.descriptor_usage import (
    ClassUse,
    DescriptorFlows,
    class_uses,
    usage_csv,
    usage_json,
    usage_markdown,
)
from ost_lightning.text import Descriptors, LabelSpace

LABELS = LabelSpace(
    ("a|b", "c", "d"),
    {
        name: Descriptors((f"{name} one", f"{name} two"), (f"{name} first", f"{name} second"))
        for name in ("a|b", "c", "d")
    },
)
COUNTS = {"spatio": 2, "temporal": 2}


def flow(*plan: list[float]) -> tuple[Tensor, Tensor]:
    """Returns one video with one view: cosines that are ten times the plan, and the plan."""
    values = torch.tensor(plan)[None, None]
    return 10 * values, values


def counted(*batches: tuple[Tensor, dict[str, tuple[Tensor, Tensor]], Tensor, Tensor]) -> tuple[ClassUse, ...]:
    flows = DescriptorFlows(3, COUNTS)
    for batch in batches:
        flows.update(*batch)
    return class_uses(LABELS, flows.compute(), COUNTS)


def test_one_video_by_hand() -> None:
    spatio = flow([0.3, 0.2], [0.4, 0.1])  # both frames go to the first
    temporal = flow([0.5, 0.0], [0.1, 0.4])
    scores, names = torch.tensor([[0.1, 0.8, 0.1]]), torch.tensor([[0.9, 0.1, 0.0]])
    (use,) = counted((torch.tensor([1]), {"spatio": spatio, "temporal": temporal}, scores, names))
    assert (use.name, use.videos, use.top1, use.name_top1, use.gain) == ("c", 1, 1.0, 0.0, 1.0)
    first, second, third, fourth = use.descriptors
    assert [entry.text for entry in use.descriptors] == ["c one", "c two", "c first", "c second"]
    assert [entry.rank for entry in use.descriptors] == [1, 2, 1, 2]
    assert first.mass == pytest.approx(0.7)
    assert first.cosine == pytest.approx(3.5)
    assert first.transported_cosine == pytest.approx((0.3 * 3 + 0.4 * 4) / 0.7)
    assert (first.leads, second.leads, third.leads, fourth.leads) == (1.0, 0.0, 0.5, 0.5)
    assert (first.closest, second.closest) == (1.0, 0.0)
    assert use.unused == (second,)


def test_videos_that_only_the_category_name_recognizes_are_counted() -> None:
    flows = dict.fromkeys(COUNTS, tuple(part.expand(4, -1, -1, -1) for part in flow([0.3, 0.2])))
    right, wrong = [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]
    by_descriptors, by_name = torch.tensor([right, right, wrong, wrong]), torch.tensor([right, wrong, right, wrong])
    (use,) = counted((torch.ones(4, dtype=torch.long), flows, by_descriptors, by_name))
    assert (use.top1, use.name_top1, use.lost) == (0.5, 0.5, 1)


def test_transport_forces_mass_on_descriptors_far_from_all_frames() -> None:
    cosines = torch.tensor([[0.3, 0.1], [0.3, 0.2]])[None, None]
    forced = torch.tensor([[0.4, 0.1], [0.1, 0.4]])[None, None]
    scores = torch.tensor([[0.1, 0.8, 0.1]])
    (use,) = counted((torch.tensor([1]), dict.fromkeys(COUNTS, (cosines, forced)), scores, scores))
    assert [entry.leads for entry in use.descriptors] == [0.5] * 4
    assert [entry.closest for entry in use.descriptors] == [1, 0, 1, 0]
    assert [entry.text for entry in use.unused] == ["c two", "c second"]


def test_batches_and_views_only_average() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (8,))
    flows = {kind: (torch.rand(8, 2, 4, 2), torch.rand(8, 2, 4, 2)) for kind in COUNTS}
    scores, names = torch.rand(8, 3), torch.rand(8, 3)
    together = counted((labels, flows, scores, names))
    alone = counted(
        *(
            (
                labels[k : k + 1],
                {kind: (cosines[k : k + 1], plan[k : k + 1]) for kind, (cosines, plan) in flows.items()},
                scores[k : k + 1],
                names[k : k + 1],
            )
            for k in torch.randperm(8).tolist()
        )
    )
    for one, other in zip(together, alone, strict=True):
        assert (one.name, one.videos, one.top1, one.name_top1) == (
            other.name,
            other.videos,
            other.top1,
            other.name_top1,
        )
        for left, right in zip(one.descriptors, other.descriptors, strict=True):
            assert left.mass == pytest.approx(right.mass)
            assert left.transported_cosine == pytest.approx(right.transported_cosine)
            assert left.leads == pytest.approx(right.leads)
        assert sum(entry.mass for entry in one.descriptors if entry.kind == "spatio") == pytest.approx(1)
        assert sum(entry.leads for entry in one.descriptors if entry.kind == "temporal") == pytest.approx(1)


def test_tables() -> None:
    scores, names = torch.tensor([[0.1, 0.8, 0.1]]), torch.tensor([[0.9, 0.1, 0.0]])
    flows = {"spatio": flow([0.5, 0.0], [0.5, 0.0]), "temporal": flow([0.5, 0.0], [0.0, 0.5])}
    uses = {"own": counted((torch.tensor([1]), flows, scores, names), (torch.tensor([0]), flows, scores, names))}
    content = json.loads(usage_json(uses))["own"]
    assert content["summary"] == {
        "classes": 2,
        "videos": 2,
        "top1": 0.5,
        "name_top1": 0.5,
        "classes_that_gain": 1,
        "classes_that_lose": 1,
        "descriptors": 8,
        "descriptors_unused": 2,
    }
    assert [entry["gain"] for entry in content["classes"]] == [-1, 1]
    rows = list(csv.DictReader(StringIO(usage_csv(uses))))
    assert len(rows) == 8
    assert {row["class"] for row in rows} == {"a|b", "c"}
    assert float(rows[0]["leads"]) == 1
    markdown = usage_markdown(uses)
    assert "2 videos of 2 classes: Top-1 50.0 % by descriptors, 50.0 % by category names" in markdown
    assert "| a\\|b | 1 | 0.0 | 100.0 | -100.0 |" in markdown
    assert "| a\\|b | spatio | 2 | a\\|b two |" in markdown
