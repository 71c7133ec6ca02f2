"""Writing of an exported folder: weights, classes, embeddings, graphs, program and model card, or nothing at all."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from ost_lightning.analysis.results.run_results import RunResults
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.export.formats import (
    FILES,
    RUNTIMES,
    GraphFormat,
    Precision,
    check_formats,
    in_parts,
    runtime_settings,
    write_graph,
)
from ost_lightning.export.graph import ExportSource, RecognitionGraph, trace, trace_parts
from ost_lightning.export.model_card import model_card
from ost_lightning.export.parity import check, check_folder
from ost_lightning.files import atomic_write
from ost_lightning.models import constructor_settings

EMBEDDINGS: Final = "descriptor_embeddings.safetensors"
"""File with the sentence embeddings: kind -> fp32 (K, N, d)."""
SETTINGS: Final = "export.json"


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """Settings of an export.

    Attributes:
        precision: Precision of the graphs: `fp32`, `bf16` or `int8`.
        iterations: Number of Sinkhorn's iterations in the graphs; None for the matcher's, but at most 40.
        videos: Videos like those that will be recognized, on which agreement is measured; rendered ones if empty.
        results: Scores of a test of these weights, for the model card.
    """

    precision: str = "fp32"
    iterations: int | None = None
    videos: Sequence[Path] = ()
    results: RunResults | None = None


def write_export(
    source: ExportSource, folder: Path, formats: Sequence[str] = ("hf",), settings: ExportSettings | None = None
) -> Path:
    """Writes a new folder, complete and checked, or none.

    Args:
        source: Model, classes and settings.
        folder: New folder.
        formats: `hf`, `torch_export`, `onnx` or `openvino`.
        settings: Precision, iterations, videos and scores; the defaults if not given.

    Returns:
        The folder.

    Raises:
        UserError: If the folder exists, a name is unknown, a package is missing, the model has no graph, or what
            was written doesn't reproduce the suite's embeddings or probabilities.
    """
    settings = settings or ExportSettings()
    chosen = check_formats(tuple(formats), settings.precision)
    if folder.exists():
        raise UserError(f"{folder} already exists: choose another name, or remove it.")
    level: Precision = settings.precision  # type: ignore[assignment] # checked above
    graphs: list[GraphFormat] = [name for name in chosen if name != "hf"]
    with atomic_write(folder) as partial:
        partial.mkdir()
        if "hf" in chosen:
            source.video_clip.save_pretrained(partial)
            check_folder(source, partial)
        source.labels.save(partial)
        save_file({kind: texts.contiguous() for kind, texts in source.texts.items()}, partial / EMBEDDINGS)
        graph_settings: dict[str, Any] = {}
        if graphs:
            graph_settings = _write_graphs(source, partial, graphs, level, settings.iterations, settings.videos)
        card = model_card(source, chosen, level, graph_settings, settings.results)
        (partial / "README.md").write_text(card, encoding="utf-8")
    return folder


def _write_graphs(
    source: ExportSource,
    folder: Path,
    formats: list[GraphFormat],
    precision: Precision,
    iterations: int | None,
    videos: Sequence[Path],
) -> dict[str, Any]:
    """Writes the graphs and the program that reads them, and checks them; returns the content of export.json."""
    _require_one_crop(source)
    graph = RecognitionGraph(source, iterations)
    settings = _settings(source, graph, formats, precision)
    frames, traced = source.clips.geometry().frames, {}
    shutil.copyfile(Path(__file__).with_name("runner.py"), folder / "runner.py")
    _save(settings, folder)
    for name in formats:
        split = in_parts(name, precision)
        if split not in traced:
            traced[split] = trace_parts(graph, frames) if split else (trace(graph, frames),)
        write_graph(traced[split], name, folder)
        if precision == "int8":
            from ost_lightning.export.quantization import quantize

            quantize(graph.embedder.video_clip.encoder, traced[split][0], folder, name)
        settings["agreement"][name] = check(source, folder, name, precision, videos).as_json()
    _save(settings, folder)
    return settings


def _settings(
    source: ExportSource, graph: RecognitionGraph, formats: list[GraphFormat], precision: Precision
) -> dict[str, Any]:
    geometry = source.clips.geometry()
    return {
        "format": 1,
        "graphs": {name: FILES[name] for name in formats},
        "runtimes": {name: RUNTIMES[name] for name in formats},
        "precision": precision,
        **runtime_settings(precision),
        "frames": geometry.frames,
        "views": source.clips.views,
        "crop": crop_settings(source.clips),
        "classes": list(source.labels.names),
        "matcher": {"class": type(source.matcher).__name__, **constructor_settings(source.matcher)},
        "sinkhorn_iterations": graph.iterations,
        "digest": source.digest,
        "versions": {
            "ost_lightning": version("ost-lightning"),
            "torch": torch.__version__,
            **{RUNTIMES[name]: version(RUNTIMES[name]) for name in formats},
        },
        "agreement": {},
    }


def crop_settings(clips: ClipSettings) -> dict[str, Any]:
    """Returns the settings of a crop under the names that the exported program has for them."""
    geometry = clips.geometry()
    return {
        "short_side": geometry.short_side,
        "side": geometry.crop_size,
        "squash": geometry.framing == "squash",
        "floor": clips.crop_offsets == "floor",
        "resize": geometry.resize,
    }


def _save(settings: dict[str, Any], folder: Path) -> None:
    (folder / SETTINGS).write_text(f"{json.dumps(settings, indent=1, ensure_ascii=False)}\n", encoding="utf-8")


def _require_one_crop(source: ExportSource) -> None:
    clips = source.clips
    setting = "crops" if clips.crops != 1 else "stride" if clips.stride is not None else "sample_aspect"
    if setting != "sample_aspect" or not clips.geometry().sample_aspect:
        raise UserError(
            f"clips.{setting} is {getattr(clips, setting)}, but runner.py reads one crop of square pixels, from frames "
            "over the whole video: only the format hf is possible."
        )
