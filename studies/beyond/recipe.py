"""Measures every ingredient in the hard setting of the rendered world.

`score` measures all ingredients on unseen classes, order pairs and the controls, with the weights that `train.py
--difficulty hard` wrote. `report` prints the table. What is embedded or scored already is not repeated.
"""

import argparse
import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from ingredients import INGREDIENTS, Ingredient, WeightSet
from score import accuracies
from spreads import Scores, cell, difference, table
from torch import Tensor
from train import trained_clip, weights_of
from variants import RememberingSolver
from world import DESCRIPTORS, Encoded, Encoder, with_frames_shuffled, with_steps_shuffled

from ost_lightning.files import atomic_write
from ost_lightning.matching import Matcher, TransportWarning
from ost_lightning.models import VideoCLIP, ensemble_weights
from ost_lightning.text import LabelSpace, SentenceSet
from ost_lightning.text.consensus import consensus
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import Group

DRAWS = range(5)
ENSEMBLED = 0.2
CONTROLS = {
    "written": "as written",
    "clean": "no flaws",
    "1 hallucinated": "1 of 4 hallucinated",
    "2 hallucinated": "2 of 4 hallucinated",
    "steps shuffled": "steps shuffled",
    "frames shuffled": "frames shuffled",
}


def clip_of(weights: WeightSet, training: str, draw: int, seed: int, folder: Path) -> VideoCLIP | None:
    """Returns the model with a set of weights; None if it has not been trained."""
    clip, path = VideoCLIP("tiny"), weights_of(training, draw, seed, folder)
    if weights == "pre-trained":
        return clip
    if not path.is_dir():
        return None
    tuned = trained_clip(path)
    if weights == "tuned":
        return tuned
    original = dict(clip.named_parameters())
    if weights == "ensembled":
        own = {name: value for name, value in tuned.named_parameters() if name in original}
        mixed = ensemble_weights(original, own, ENSEMBLED)
    else:
        files = sorted(path.with_name(f"{path.name}.epochs").glob("*.ckpt"))
        epochs = [torch.load(file, weights_only=True)["state_dict"] for file in files]
        mixed = {
            name: torch.stack([value, *(epoch[f"video_clip.{name}"] for epoch in epochs)]).mean(0)
            for name, value in original.items()
        }
    tuned.load_state_dict(mixed, strict=False)  # buffers are the same in all of them; CLIP has no context's biases
    return tuned


def label_spaces(encoder: Encoder, group: Group, drafts: int, seed: int) -> Iterator[tuple[str, LabelSpace]]:
    """Yields the descriptors as they are written, and every control on clean ones: name, label space."""

    def embed(texts: Sequence[str]) -> Tensor:
        sentences = SentenceSet({"spatio": tuple((text,) for text in texts)})
        return encoder.clip.encode_sentences(encoder.clip.tokenize(sentences))["spatio"][:, 0]

    def agreed(make: Callable[[int], LabelSpace]) -> LabelSpace:
        made = [make(draft) for draft in range(drafts)]
        return made[0] if drafts == 1 else consensus(made, embed, DESCRIPTORS).labels

    written = partial(label_space, encoder.draw, group, encoder.difficulty)
    yield "written", agreed(lambda draft: written(draft=draft))
    if group != "seen":
        yield "clean", agreed(lambda draft: written(clean=True, draft=draft))
    if group == "unseen":
        for count in (1, 2):
            yield f"{count} hallucinated", agreed(partial(encoder.hallucinated, group, count, seed))


def conditions(encoder: Encoder, group: Group, drafts: int, seed: int) -> Iterator[tuple[str, Encoded]]:
    """Yields every condition, with embeddings of its descriptors; each seed shuffles and hallucinates differently."""
    for condition, labels in label_spaces(encoder, group, drafts, seed):
        encoded = encoder.encode(group, labels)
        yield condition, encoded
        if group == "unseen" and condition == "clean":
            yield "steps shuffled", with_steps_shuffled(encoded, seed)
            yield "frames shuffled", with_frames_shuffled(encoded, seed)


Embedded = list[tuple[Group, str, Encoded]]


@lru_cache(maxsize=1)  # the numbers of drafts of one set of weights share the embeddings of frames
def encoder_of(weights: WeightSet, training: str, draw: int, seed: int, folder: Path) -> Encoder | None:
    clip = clip_of(weights, training, draw, seed, folder)
    return None if clip is None else Encoder(clip, draw, "hard")


@torch.no_grad()
def embedded(one: Ingredient, groups: Sequence[Group], draw: int, seed: int, folder: Path) -> Embedded | None:
    """Returns the embeddings of all conditions, from disk if they are there; None if there are no weights."""
    weights = one.weights if one.weights == "pre-trained" else f"{one.training}-{one.weights}"
    file = folder / "embeddings" / f"{weights}-{one.drafts}-draw{draw}-seed{seed}-{'-'.join(groups)}.pt"
    if not file.is_file():
        encoder = encoder_of(one.weights, one.training, draw, seed, folder)
        if encoder is None:
            return None
        found = [(group, *row) for group in groups for row in conditions(encoder, group, one.drafts, seed)]
        with atomic_write(file) as incomplete:
            torch.save([(*keys, each.frames, each.labels, each.texts) for *keys, each in found], incomplete)
    return [(*row[:2], Encoded(*row[2:])) for row in torch.load(file)]


def top1(matchers: Mapping[Any, Matcher], encoded: Encoded, pairs: bool = False) -> dict[Any, dict[str, Any]]:
    """Returns the accuracies of each matcher; transport problems that they share are solved once."""
    RememberingSolver.solved.clear()  # its keys are tensors of another condition
    return {name: accuracies(matcher, encoded, pairs) for name, matcher in matchers.items()}


def score(folder: Path, draw: int, seed: int) -> None:
    """Writes the accuracies of every ingredient whose weights exist."""
    file = folder / "scores" / f"draw{draw}-seed{seed}.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else []
    missing: dict[tuple[str, str, int], dict[str, Ingredient]] = defaultdict(dict)
    for name, one in INGREDIENTS.items():
        if name not in {row["variant"] for row in rows}:
            missing[one.training, one.weights, one.drafts][name] = one
    for alike in missing.values():
        sets = embedded(next(iter(alike.values())), ["unseen", "order"], draw, seed, folder)
        for group, condition, encoded in sets or []:
            keys = {"weights": "", "draw": draw, "seed": seed, "group": group, "condition": condition}
            matchers = {name: one.matcher for name, one in alike.items()}
            rows += [keys | {"variant": name} | row for name, row in top1(matchers, encoded, group == "order").items()]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows))
        print(f"{file.name}: {len(rows)} rows", flush=True)


def report(folder: Path) -> None:
    """Prints accuracies of Eq. 13, and paired differences of everything else that was scored."""
    scores = Scores(sorted((folder / "scores").glob("*.json")))
    unseen = [("unseen", condition, "top1") for condition in CONTROLS]
    order = [("order", condition, "pair") for condition in ("written", "clean")]
    base, *_ = INGREDIENTS
    for columns, labels in (
        (unseen, [*CONTROLS.values()]),
        (order, ["order pairs, as written", "order pairs, no flaws"]),
    ):
        rows = []
        for name in INGREDIENTS:
            if not scores.by_draw("", *columns[0][:2], name, columns[0][2]):
                continue
            values = [scores.by_draw("", group, condition, name, measure) for group, condition, measure in columns]
            plain = [scores.by_draw("", group, condition, base, measure) for group, condition, measure in columns]
            rows.append([name, *(map(cell, values) if name == base else map(difference, values, plain))])
        table(["", *labels], rows)
    print("runs: " + ", ".join(f"draw {draw} seed {seed}" for draw, seed in sorted(scores.runs[""])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["score", "report"])
    parser.add_argument("--draw", type=int, nargs="+", default=list(DRAWS))
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/beyond-hard"))
    options = parser.parse_args()
    warnings.simplefilter("ignore", TransportWarning)
    if options.what == "report":
        report(options.folder)
    else:
        for seed in options.seed:
            for draw in options.draw:
                score(options.folder, draw, seed)


if __name__ == "__main__":
    main()
