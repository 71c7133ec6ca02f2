"""`python -m studies.tiny_clip OUTPUT`: pre-trains the tiny CLIP, or with `--architecture siglip` its twin."""

import argparse
import os
from pathlib import Path

from studies.tiny_clip.architecture import ARCHITECTURES
from studies.tiny_clip.pretraining import Recipe, pretrain


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.tiny_clip", description=pretrain.__doc__.split("\n")[0])
    parser.add_argument("output", type=Path, help="folder for the model in HF format, its tokenizer and its log")
    parser.add_argument("--architecture", choices=list(ARCHITECTURES), default=Recipe.architecture)
    parser.add_argument("--seed", type=int, default=Recipe.seed, help="seed for stills, weights and order")
    parser.add_argument("--warmup_steps", type=int, default=Recipe.warmup_steps, help="steps of the attribute warm-up")
    parser.add_argument("--caption_steps", type=int, default=Recipe.caption_steps, help="steps with captions")
    parser.add_argument("--device", help="torch device; default: a GPU if available")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that render stills")
    options = parser.parse_args()
    recipe = Recipe(
        options.architecture,
        options.seed,
        warmup_steps=options.warmup_steps,
        caption_steps=options.caption_steps,
    )
    scores = pretrain(options.output, recipe, device=options.device, workers=options.workers)
    print("zero-shot by text on held-out stills: " + ", ".join(f"{key} {value:.2f}" for key, value in scores.items()))


if __name__ == "__main__":
    main()
