"""Measures `ost convert` on a checkpoint of ViT-B/16 size (random weights) in the layout of OST's authors.

Two thirds of such a file are the optimizer's moments. The baseline is the simplest code: `torch.load`, rename, copy
into a `CLIPModel`, `save_pretrained`. Each conversion runs in a separate process; memory is the peak resident set minus
that after importing the libraries.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from ost_lightning.models.checkpoints.conversion import import_checkpoint
from ost_lightning.models.checkpoints.foreign_layouts import from_hugging_face, to_hugging_face

VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "patch_size": 16}


def write_checkpoint(file: Path, clip: Path) -> None:
    config = CLIPConfig(vision_config={**VISION, "num_hidden_layers": 12, "projection_dim": 512})
    tensors = from_hugging_face(config, dict(CLIPModel(config).named_parameters()), "released")
    tensors = {name: tensor.detach() for name, tensor in tensors.items()}
    moments = {k: {"exp_avg": value.clone(), "exp_avg_sq": value.clone()} for k, value in enumerate(tensors.values())}
    torch.save({"model": tensors, "optimizer": {"state": moments}, "epoch": 9}, file)
    tokens = {f"t{k}": k for k in range(49406)} | {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
    CLIPTokenizer(vocab=tokens, merges=[]).save_pretrained(clip)


def convert(file: Path, folder: Path, clip: Path) -> None:
    import_checkpoint(file, folder, str(clip))


def plainly(file: Path, folder: Path, clip: Path) -> None:
    config, tensors, _ = to_hugging_face(torch.load(file, weights_only=True)["model"])
    model = CLIPModel(config)
    model.load_state_dict(tensors, strict=False)
    model.save_pretrained(folder)


def measure(
    way: str, file: Path, folder: Path, clip: Path, results: "multiprocessing.Queue[tuple[float, float]]"
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    {"ost convert": convert, "plainly": plainly}[way](file, folder, clip)
    seconds = time.perf_counter() - began
    results.put((seconds, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        file, clip = Path(name) / "released.pth", Path(name) / "clip"
        writer = context.Process(target=write_checkpoint, args=(file, clip))
        writer.start()
        writer.join()
        figures: dict[str, list[tuple[float, float]]] = {"ost convert": [], "plainly": []}
        for repetition in range(options.repetitions):
            for way, measured in figures.items():
                results = context.Queue()
                folder = Path(name) / f"{way}{repetition}"
                process = context.Process(target=measure, args=(way, file, folder, clip, results))
                process.start()
                measured.append(results.get())
                process.join()
        weights = (Path(name) / "ost convert0" / "model.safetensors").stat().st_size
        print(f"file {file.stat().st_size / 1e6:.0f} MB, weights {weights / 1e6:.0f} MB")
        for way, measured in figures.items():
            seconds, memory = zip(*measured, strict=True)
            peak = statistics.median(memory)
            print(
                f"{way:12s} median {statistics.median(seconds):5.2f} s (min {min(seconds):.2f}, max {max(seconds):.2f})"
                f" peak memory {peak / 1e6:5.0f} MB = {peak / weights:.2f} x the weights"
            )


if __name__ == "__main__":
    main()
