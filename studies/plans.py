"""Draws the plans shown in docs/matching.md: videos of the rendered world, encoded by the tiny CLIP.

python studies/plans.py docs/figures
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ost_lightning.analysis import MatchingFlow, draw_matching_flows, matching_flow
from ost_lightning.datamodules import ToyWorld
from ost_lightning.matching import BALANCED, OptimalDescriptorSolver, TransportProblem
from ost_lightning.models import VideoCLIP
from ost_lightning.text import Descriptors, LabelSpace, Templates

DRAW = 0


class World:
    """Test videos of one group, and their plans to any descriptors."""

    def __init__(self, group: str) -> None:
        data = ToyWorld(DRAW, test_sets=(group,))
        data.loading = replace(data.loading, workers=0)
        data.prepare_data()
        data.setup("test")
        self.labels = data.evaluation_labels("test")[group]
        (loader,) = data.test_dataloader()
        self._clips, batches = loader.clips, list(loader)
        self._videos = {id_: clip for batch in batches for id_, clip in zip(batch.ids, batch.frames, strict=True)}
        self.ids = list(self._videos)
        self._clip, self._templates = VideoCLIP("tiny").eval(), Templates.load("ost")

    def seconds(self, id_: str) -> tuple[float, ...]:
        return self._clips.seconds_of(id_)

    def frames(self, id_: str) -> Tensor:
        return self._videos[id_][0]

    def flow(
        self, id_: str, name: str, kind: str, problem: TransportProblem = BALANCED, written: Descriptors | None = None
    ) -> MatchingFlow:
        labels = LabelSpace((name,), {name: written or self.labels.descriptors[name]})
        texts = self._clip.encode_sentences(self._clip.tokenize(self._templates.apply(labels, (kind,), 4)))
        solver = OptimalDescriptorSolver(max_iterations=1000, spatio=problem, temporal=problem)
        descriptors = getattr(labels.descriptors[name], kind)
        return matching_flow(self._clip, solver, self.frames(id_), texts[kind][0], descriptors, kind)


def score(flow: MatchingFlow) -> float:
    """Returns <P, cos> divided by the transported mass."""
    return float((flow.plan * flow.cosines).sum() / flow.plan.sum())


def with_scores(flows: dict[str, MatchingFlow]) -> dict[str, MatchingFlow]:
    return {f"{heading}: score {score(flow):.3f}": flow for heading, flow in flows.items()}


def simple(flow: MatchingFlow, temperature: float = 0.1) -> dict[str, MatchingFlow]:
    """Returns the plans of matchers without a marginal for descriptors, from the same cosines."""
    hard = torch.nn.functional.one_hot(flow.cosines.argmax(1), flow.cosines.shape[1]).float()
    return {
        "pooled (PooledDescriptors, Eq. 9)": replace(flow, plan=torch.full_like(flow.plan, 1 / flow.plan.shape[1])),
        "max (MaxSimilarity)": replace(flow, plan=hard),
        "softmax (SoftmaxMatching)": replace(flow, plan=(flow.cosines / temperature).softmax(1)),
        "transport (OptimalDescriptorSolver)": flow,
    }


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    unseen = World("unseen")
    id_ = unseen.ids[0]
    name, seconds = unseen.labels.names[0], unseen.seconds(id_)
    both = {f"{kind.capitalize()} Descriptors": unseen.flow(id_, name, kind) for kind in ("spatio", "temporal")}
    draw_matching_flows(
        with_scores(both), f"'{name}': the OD Solver's two flows", folder / "plan_balanced.png", seconds
    )
    flows = simple(both["Temporal Descriptors"])
    draw_matching_flows(
        with_scores(flows), f"'{name}': the same cosines, four ways", folder / "plan_simple.png", seconds
    )

    order = World("order")
    id_, (forward, backward) = order.ids[0], order.labels.names[:2]
    prior = TransportProblem(order_sigma=0.2)
    flows = {
        f"'{which}', {heading}": order.flow(id_, which, "temporal", problem)
        for heading, problem in (("balanced", BALANCED), ("order_sigma 0.2", prior))
        for which in (forward, backward)
    }
    draw_matching_flows(
        with_scores(flows),
        f"a video of '{forward}', and its steps in reverse",
        folder / "plan_order.png",
        order.seconds(id_),
    )

    id_, written = unseen.ids[0], unseen.labels.descriptors[name]
    foreign = next(
        text for text in unseen.labels.descriptors[unseen.labels.names[8]].temporal if text not in written.temporal
    )
    hallucinated = replace(written, temporal=(*written.temporal[:2], foreign, *written.temporal[3:]))
    problems = {
        "balanced": BALANCED,
        "descriptor_rho 0.1": TransportProblem(descriptor_rho=0.1),
        "mass 0.7": TransportProblem(mass=0.7),
    }
    flows = {key: unseen.flow(id_, name, "temporal", value, hallucinated) for key, value in problems.items()}
    title = f"'{name}': the third step is another class's"
    draw_matching_flows(with_scores(flows), title, folder / "plan_hallucinated.png", seconds)
    for file in folder.glob("plan_*.png"):
        Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)


if __name__ == "__main__":
    main()
