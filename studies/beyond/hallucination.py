"""Compares ways to live with hallucinated descriptors: weights, more drafts, and the consensus of several drafts.

Every draft words the same actions anew, and has its own hallucinated descriptors. `python
studies/beyond/hallucination.py` scores seen and unseen classes of all draws and prints two tables.
"""

import argparse
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize
from train import weights_of
from world import DESCRIPTORS, Encoded, Encoder, with_hallucinations

from ost_lightning.matching.matchers import pairwise_cosines
from ost_lightning.models import VideoCLIP
from ost_lightning.text import Descriptors, LabelSpace, SentenceSet
from ost_lightning.text.consensus import Embed, consensus, unsupported
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import Group, draw_classes
from ost_lightning.toyworld.wording import spatio_descriptors, temporal_descriptors
from ost_lightning.vocabulary import DESCRIPTOR_KINDS

DRAFTS = 5
TEMPERATURE = 2.0
"""Temperature of weights from standardized measures; colder ones lost more on seen classes."""
Weights = dict[str, Tensor]
"""Weights of the descriptors by kind, (K, N) each; they sum to 1 per class."""


def draft(draw: int, group: Group, number: int) -> LabelSpace:
    """Returns correct descriptors in a wording of their own."""
    rng = random.Random(f"wording {draw} {group} {number}")
    worded = {
        action.name: Descriptors(
            spatio_descriptors(action.appearance, rng), temporal_descriptors(action.steps, action.appearance.prop, rng)
        )
        for action in draw_classes(draw)[group]
    }
    return replace(label_space(draw, group), descriptors=worded)


def hallucinated(labels: LabelSpace, count: int, seed: str) -> LabelSpace:
    """Replaces `count` descriptors per kind and class by those of other classes."""
    return with_hallucinations(labels, count, random.Random(f"{labels.origin} {count} {seed}"))


def together(drafts: Sequence[LabelSpace]) -> LabelSpace:
    """Returns one label space with the descriptors of all drafts."""
    joined = {
        name: Descriptors(
            *(
                tuple(text for one in drafts for text in getattr(one.descriptors[name], kind))
                for kind in DESCRIPTOR_KINDS
            )
        )
        for name in drafts[0].names
    }
    return replace(drafts[0], descriptors=joined)


def score(encoded: Encoded, weights: Weights | None = None) -> tuple[Tensor, Tensor]:
    """Returns the score of Eq. 13 and that of its transported terms, (B, K), with weighted descriptors."""
    pooled, transported = terms_by_kind(encoded, weights)
    flow = sum(transported[1:], transported[0]) / 2
    return (sum(pooled[1:], pooled[0]) / 2 + flow) / 2, flow


def terms_by_kind(
    encoded: Encoded, weights: Weights | None = None, epsilon: float = 0.1
) -> tuple[list[Tensor], list[Tensor]]:
    """Returns the pooled and the transported terms of each kind, (B, K) each, with weighted descriptors."""
    pooled, transported = [], []
    for kind in DESCRIPTOR_KINDS:
        cosines = pairwise_cosines(encoded.frames, encoded.texts[kind])
        videos, classes, frames, count = cosines.shape
        share = torch.full((classes, count), 1 / count) if weights is None else weights[kind]
        pooled.append((cosines.mean(2) * share).sum(-1))
        # problems last, as in the package's solver
        cost = cosines.permute(2, 3, 0, 1).reshape(frames, count, -1)
        kernel = ((cost - cost.amax((0, 1))) / epsilon).exp()
        marginal = share.expand(videos, -1, -1).reshape(-1, count).T
        v = torch.ones_like(marginal)
        for _ in range(20):
            u = 1 / frames / (kernel * v).sum(1)
            v = marginal / (kernel * u[:, None]).sum(0)
        transported.append((u[:, None] * kernel * v * cost).sum((0, 1)).view(videos, classes))
    return pooled, transported


def softmax_weights(measure: Callable[[str], Tensor], temperature: float) -> Weights:
    """Returns weights from a measure of each descriptor, (K, N), which is standardized over all of a kind."""
    found = {kind: measure(kind) for kind in DESCRIPTOR_KINDS}
    return {kind: ((one - one.mean()) / one.std() / temperature).softmax(-1) for kind, one in found.items()}


def weightings(encoded: Encoded, correct: dict[str, Tensor], background: Tensor) -> dict[str, Weights]:
    """Returns weights by the name of their rule; those over test videos are transductive."""
    centered = {
        kind: normalize(texts - texts.mean((0, 1)), dim=-1) for kind, texts in encoded.texts.items() if kind != "name"
    }
    names = normalize(encoded.texts["name"].mean(1) - encoded.texts["name"].mean((0, 1)), dim=-1)
    total = torch.stack([texts.sum(1) for texts in centered.values()]).sum(0)
    itself = torch.eye(len(names), dtype=torch.bool)

    def siblings(kind: str) -> Tensor:
        rest = normalize(total[:, None] - centered[kind], dim=-1)
        return (centered[kind] * rest).sum(-1)

    def name(kind: str) -> Tensor:
        return torch.einsum("knd,kd->kn", centered[kind], names)

    def other_classes(kind: str) -> Tensor:
        cosines = torch.einsum("knd,jmd->knjm", centered[kind], centered[kind])
        return -cosines.masked_fill(itself[:, None, :, None], -1).amax((2, 3))

    def response(frames: Tensor, kind: str) -> Tensor:
        best = pairwise_cosines(frames, encoded.texts[kind]).amax(2)
        return (best - best.mean(0)) / best.std(0)

    def agreement(frames: Tensor) -> Callable[[str], Tensor]:
        rest = torch.stack([response(frames, kind).sum(-1) for kind in DESCRIPTOR_KINDS]).sum(0)

        def measure(kind: str) -> Tensor:
            own = response(frames, kind)
            others = rest[..., None] - own
            return (own * (others - others.mean(0)) / others.std(0)).mean(0)

        return measure

    rules = {
        "agreement with siblings": siblings,
        "agreement with the class name": name,
        "distance from other classes' descriptors": other_classes,
        "agreement over videos of other classes": agreement(background),
        "agreement over the test videos (transductive)": agreement(encoded.frames),
    }
    found = {f"weights by {rule}": softmax_weights(measure, TEMPERATURE) for rule, measure in rules.items()}
    found["weight 0 for what is hallucinated (needs the truth)"] = {
        kind: right / right.sum(-1, keepdim=True) for kind, right in correct.items()
    }
    return found


def is_correct(changed: LabelSpace, original: LabelSpace) -> dict[str, Tensor]:
    """Returns 1 for every unchanged descriptor, (K, N) by kind."""
    return {
        kind: torch.tensor(
            [
                [
                    float(a == b)
                    for a, b in zip(*(getattr(one.descriptors[name], kind) for one in (changed, original)), strict=True)
                ]
                for name in original.names
            ]
        )
        for kind in DESCRIPTOR_KINDS
    }


@torch.no_grad()
def variants(encoder: Encoder, group: Group, count: int, rules: bool) -> Iterator[tuple[str, Encoded, Weights | None]]:
    """Yields every way to use the drafts, and weights of one draft by rules: name, embeddings, weights."""
    clip, embed = encoder.clip, embedder(encoder.clip)
    videos = encoder.encode(group)
    background = encoder.encode("unseen" if group == "seen" else "seen").frames

    def encode(labels: LabelSpace, descriptors: int = DESCRIPTORS) -> Encoded:
        sentences = encoder.templates.apply(labels, ("name", "spatio", "temporal"), descriptors)
        return replace(videos, texts=dict(clip.encode_sentences(clip.tokenize(sentences))))

    originals = [draft(encoder.draw, group, number) for number in range(DRAFTS)]
    drafts = [hallucinated(one, count, str(number)) for number, one in enumerate(originals)]
    for one, original in zip(drafts[:3], originals, strict=False):
        encoded = encode(one)
        yield "one draft", encoded, None
        if rules and count < 2 and one is drafts[0]:
            for name, weights in weightings(encoded, is_correct(one, original), background).items():
                yield name, encoded, weights
    for number in (3, 5):
        yield f"all descriptors of {number} drafts", encode(together(drafts[:number]), number * DESCRIPTORS), None
        agreed = consensus(drafts[:number], embed, DESCRIPTORS)
        yield f"consensus of {number} drafts", encode(agreed.labels), None
    if count != 1:
        return
    # a mistake that every draft makes
    shared = hallucinated(label_space(encoder.draw, group), count, "shared")
    wrong = is_correct(shared, label_space(encoder.draw, group))
    same = [
        replace(
            one,
            descriptors={
                name: Descriptors(
                    *(
                        tuple(
                            kept if right else replaced
                            for kept, replaced, right in zip(
                                getattr(one.descriptors[name], kind),
                                getattr(shared.descriptors[name], kind),
                                wrong[kind][label].tolist(),
                                strict=True,
                            )
                        )
                        for kind in DESCRIPTOR_KINDS
                    )
                )
                for label, name in enumerate(one.names)
            },
        )
        for one in originals
    ]
    yield "one draft, mistakes shared by all", encode(same[0]), None
    yield "consensus of 5 drafts, mistakes shared by all", encode(consensus(same, embed, DESCRIPTORS).labels), None


def embedder(clip: VideoCLIP) -> Embed:
    """Returns the text tower as a function from texts to unit vectors."""

    def embed(texts: Sequence[str]) -> Tensor:
        sentences = SentenceSet({"spatio": tuple((text,) for text in texts)})
        return clip.encode_sentences(clip.tokenize(sentences))["spatio"][:, 0]

    return embed


@torch.no_grad()
def print_warnings() -> None:
    """Prints how many warnings of unsupported descriptors are right, and how many hallucinations they find."""
    embed = embedder(VideoCLIP("tiny").eval())
    for others in (1, 2, 4):
        right = warned = wrong = 0
        for draw in range(5):
            for group in ("seen", "unseen"):
                originals = [draft(draw, group, number) for number in range(1 + others)]
                drafts = [hallucinated(one, 1, str(number)) for number, one in enumerate(originals)]
                for one in unsupported(drafts[0], drafts[1:], embed):
                    warned += 1
                    right += one.text not in getattr(originals[0].descriptors[one.name], one.kind or "spatio")
                wrong += 2 * len(originals[0])
        print(f"{others} other drafts: {right / warned:.0%} of the warnings are right, {right / wrong:.0%} are found")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", choices=["pretrained", "paper"], default="pretrained")
    parser.add_argument("--group", nargs="+", choices=["seen", "unseen"], default=["seen", "unseen"])
    parser.add_argument("--folder", type=Path, default=Path("runs/beyond"))
    options = parser.parse_args()
    accuracies: dict[tuple[str, str, int], dict[int, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    seeds: list[int | None] = [None] if options.weights == "pretrained" else [0, 1, 2]
    for draw, seed in product(range(5), seeds):
        encoder = Encoder("tiny" if seed is None else weights_of("paper", draw, seed, options.folder), draw)
        for group in options.group:
            print(f"draw {draw}, {group} classes", file=sys.stderr, flush=True)
            for count in (0, 1, 2):
                for name, encoded, weights in variants(encoder, group, count, options.weights == "pretrained"):
                    found = [
                        100 * float((one.argmax(1) == encoded.labels).double().mean())
                        for one in score(encoded, weights)
                    ]
                    accuracies[group, name, count][draw].append(found)
    for group in options.group:
        print_table(group, {name: values for name, values in accuracies.items() if name[0] == group})
    print_warnings()


def print_table(group: str, accuracies: dict[tuple[str, str, int], dict[int, list[list[float]]]]) -> None:
    """Prints accuracies of one draft, and paired differences of everything else."""
    print(f"\n| {group} | 0 | 1 | 2 | transported only, 0 | 1 | 2 |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name in dict.fromkeys(key[1] for key in accuracies):
        cells = []
        for score_index in (0, 1):
            for count in (0, 1, 2):
                if (group, name, count) not in accuracies:
                    cells.append("")
                    continue
                means = [
                    [
                        statistics.mean(run[score_index] for run in accuracies[group, which, count][draw])
                        for draw in range(5)
                    ]
                    for which in (name, "one draft")
                ]
                if name == "one draft":
                    cells.append(f"{statistics.mean(means[0]):.1f} ± {statistics.stdev(means[0]):.1f}")
                else:
                    differences = [a - b for a, b in zip(*means, strict=True)]
                    better = sum(difference > 0 for difference in differences)
                    spread = f"{statistics.mean(differences):+.1f} ± {statistics.stdev(differences):.1f}"
                    cells.append(f"{spread} ({better}/5)")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
