from pathlib import Path

import pytest
import torch
from PIL import Image

from ost_lightning.analysis import draw_matching_flows, matching_flow
from ost_lightning.matching import OptimalDescriptorSolver, transport_plan
from ost_lightning.models import VideoCLIP

TEXTS = ("a meadow", "a drum", "a person")


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.randint(0, 256, (5, 3, 48, 48), dtype=torch.uint8)


def test_flow_is_the_plan_of_the_solver(frames: torch.Tensor) -> None:
    model = VideoCLIP("tiny")
    embeddings = torch.nn.functional.normalize(torch.randn(3, 128), dim=-1)
    flow = matching_flow(model, OptimalDescriptorSolver(), frames, embeddings, TEXTS, "spatio")
    with torch.no_grad():
        cosines = model.encode_frames(frames[None])[0] @ embeddings.T
    torch.testing.assert_close(flow.cosines, cosines)
    torch.testing.assert_close(flow.plan, 5 * transport_plan(cosines))
    torch.testing.assert_close(flow.plan.sum(1), torch.ones(5), atol=1e-2, rtol=0)


def test_picture(tmp_path: Path, frames: torch.Tensor) -> None:
    flow = matching_flow(VideoCLIP("tiny"), OptimalDescriptorSolver(), frames, torch.eye(3, 128), TEXTS, "spatio")
    file = tmp_path / "new" / "flow.png"
    draw_matching_flows({"Spatio Descriptors": flow, "Temporal Descriptors": flow}, "a title", file)
    with Image.open(file) as picture:
        assert picture.width == 1440  # 7.2 inches of 200 dpi
        assert len(set(picture.convert("RGB").resize((50, 50)).getdata())) > 50


def test_frames_are_named_by_their_times(tmp_path: Path, frames: torch.Tensor) -> None:
    flow = matching_flow(VideoCLIP("tiny"), OptimalDescriptorSolver(), frames, torch.eye(3, 128), TEXTS, "spatio")
    draw_matching_flows({"Spatio Descriptors": flow}, "a title", tmp_path / "flow.svg", [0.5, 1.0, 1.5, 2.0, 2.5])
    text = (tmp_path / "flow.svg").read_text()
    for shown in ("0.5 s", "2.5 s", "a drum", "a title"):
        assert f"<!-- {shown} -->" in text
