"""Measures every ingredient in the hard setting of the rendered world.

`choose` writes the settings that are best on seen classes, with the pre-trained weights. `score` measures all
ingredients on unseen classes, order pairs and the controls. `report` prints the tables. What is embedded or scored
already is not repeated.
"""

import argparse
import json
import statistics
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ingredients import Ingredient, WeightSet, choices, ingredients
from score import accuracies
from spreads import Scores, cell, difference, table
from train import weights_of
from world import Encoded, Encoder, with_frames_shuffled, with_steps_shuffled

from ost_lightning.files import atomic_write
from ost_lightning.matching import TransportWarning
from ost_lightning.models import VideoCLIP, ensemble_weights
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import GROUPS, Group

DRAWS = range(5)
REPEATS = range(1)
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
    tuned = VideoCLIP(str(path))
    if weights == "tuned":
        return tuned
    original = dict(clip.named_parameters())
    if weights == "ensembled":
        mixed = ensemble_weights(original, dict(tuned.named_parameters()), ENSEMBLED)
    else:
        files = sorted(path.with_name(f"{path.name}.epochs").glob("*.ckpt"))
        epochs = [torch.load(file, weights_only=True)["state_dict"] for file in files]
        mixed = {
            name: torch.stack([value, *(epoch[f"video_clip.{name}"] for epoch in epochs)]).mean(0)
            for name, value in original.items()
        }
    tuned.load_state_dict(mixed, strict=False)  # buffers are the same in all of them
    return tuned


def conditions(encoder: Encoder, group: Group) -> Iterator[tuple[str, int, Encoded]]:
    """Yields the descriptors as they are written, and every control on clean ones: name, repetition, embeddings."""
    yield "written", 0, encoder.encode(group)
    if group == "seen":
        return
    clean = encoder.encode(group, label_space(encoder.draw, group, encoder.difficulty, clean=True))
    yield "clean", 0, clean
    if group == "order":
        return
    for repeat in REPEATS:
        for count in (1, 2):
            yield f"{count} hallucinated", repeat, encoder.encode(group, encoder.hallucinated(group, count, repeat))
        yield "steps shuffled", repeat, with_steps_shuffled(clean, repeat)
        yield "frames shuffled", repeat, with_frames_shuffled(clean, repeat)


Embedded = list[tuple[Group, str, int, Encoded]]


@torch.no_grad()
def embedded(weights: WeightSet, training: str, draw: int, seed: int, folder: Path) -> Embedded | None:
    """Returns the embeddings of all groups and conditions, from disk if they are there; None without weights."""
    name = "pre-trained" if weights == "pre-trained" else f"{training}-{weights}-seed{seed}"
    file = folder / "embeddings" / f"{name}-draw{draw}.pt"
    if not file.is_file():
        clip = clip_of(weights, training, draw, seed, folder)
        if clip is None:
            return None
        encoder = Encoder(clip, draw, "hard")
        found = [
            (group, condition, repeat, encoded)
            for group in GROUPS
            for condition, repeat, encoded in conditions(encoder, group)
        ]
        with atomic_write(file) as partial:
            torch.save([(*keys, one.frames, one.labels, one.texts) for *keys, one in found], partial)
    return [(group, condition, repeat, Encoded(*rest)) for group, condition, repeat, *rest in torch.load(file)]


def choose(folder: Path) -> None:
    """Writes the settings with the best mean over draws on seen classes, and prints all of them."""
    seen = [
        one
        for draw in DRAWS
        for group, *_, one in embedded("pre-trained", "", draw, 0, folder) or ()
        if group == "seen"
    ]

    def mean(ingredient: Ingredient) -> float:
        return statistics.mean(float(accuracies(ingredient.matcher, one, pairs=False)["top1"]) for one in seen)

    choice: dict[str, float] = {}
    print(f"Eq. 13: {mean(Ingredient()):.1f}")
    for key, matchers in choices().items():
        found = {value: mean(Ingredient(matcher)) for value, matcher in matchers.items()}
        choice[key] = max(found, key=found.__getitem__)
        print(f"{key}: " + ", ".join(f"{value:g}: {top1:.1f}" for value, top1 in found.items()))
    (folder / "choice.json").write_text(json.dumps(choice))


def score(folder: Path, draw: int, seed: int) -> None:
    """Writes the accuracies of every ingredient whose weights exist."""
    file = folder / "scores" / f"draw{draw}-seed{seed}.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else []
    known = {row["variant"] for row in rows}
    for name, one in ingredients(json.loads((folder / "choice.json").read_text())).items():
        if name in known or (sets := embedded(one.weights, one.training, draw, seed, folder)) is None:
            continue
        for group, condition, repeat, encoded in sets:
            keys = {"weights": "", "variant": name, "draw": draw, "seed": seed}
            keys |= {"group": group, "condition": condition, "repeat": repeat}
            rows.append(keys | accuracies(one.matcher, encoded, group == "order"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows))
    print(f"{file.name}: {len(rows)} rows", flush=True)


def report(folder: Path) -> None:
    """Prints accuracies of Eq. 13, and paired differences of everything else."""
    scores = Scores(sorted((folder / "scores").glob("*.json")))
    names = list(ingredients(json.loads((folder / "choice.json").read_text())))
    columns = [("seen", "written", "top1"), *(("unseen", condition, "top1") for condition in CONTROLS)]
    columns += [("order", condition, "pair") for condition in ("written", "clean")]
    base = [scores.by_draw("", group, condition, names[0], measure) for group, condition, measure in columns]
    rows = []
    for name in names:
        values = [scores.by_draw("", group, condition, name, measure) for group, condition, measure in columns]
        shown = map(cell, values) if name == names[0] else map(difference, values, base)
        rows.append([name, *shown])
    labels = [*CONTROLS.values(), "order pairs, as written", "order pairs, no flaws"]
    table(["", "seen, as written", *labels], rows)
    print("runs: " + ", ".join(f"draw {draw} seed {seed}" for draw, seed in sorted(scores.runs[""])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["choose", "score", "report"])
    parser.add_argument("--draw", type=int, nargs="+", default=list(DRAWS))
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/beyond-hard"))
    options = parser.parse_args()
    warnings.simplefilter("ignore", TransportWarning)
    if options.what == "choose":
        choose(options.folder)
    elif options.what == "report":
        report(options.folder)
    else:
        for seed in options.seed:
            for draw in options.draw:
                score(options.folder, draw, seed)


if __name__ == "__main__":
    main()
