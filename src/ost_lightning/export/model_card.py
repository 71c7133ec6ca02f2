"""The model card of an export: README.md with scores, data cards, settings, use and origin."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ost_lightning.analysis.results.run_results import RunResults
from ost_lightning.escaping import markdown_line, markdown_text
from ost_lightning.export.formats import Format, Precision
from ost_lightning.export.graph import ExportSource
from ost_lightning.models import VideoCLIP, constructor_settings
from ost_lightning.resources import TINY_MODELS

_ORIGIN: str = "ORIGIN.txt"


def model_card(
    source: ExportSource,
    formats: tuple[Format, ...],
    precision: Precision,
    settings: Mapping[str, Any],
    results: RunResults | None,
) -> str:
    """Returns the text of the card.

    Args:
        source: Model, classes and settings.
        formats: Formats in the folder.
        precision: Precision of the graphs.
        settings: Content of export.json; empty without a graph.
        results: Scores of a test of these weights; None if there are none.
    """
    labels, clips, clip = source.labels, source.clips.geometry(), source.video_clip
    pixels = clip.preprocessing
    base = (
        "" if Path(clip.tuned_from).exists() or clip.tuned_from in TINY_MODELS else f"base_model: {clip.tuned_from}\n"
    )
    parts = [
        f"---\nlibrary_name: ost_lightning\npipeline_tag: video-classification\n{base}---",
        f"# {markdown_line(Path(clip.pretrained).name)} for {len(labels)} classes",
        f"A {type(clip.encoder).__name__} ({clip.encoder.backbone_name}) with the matcher "
        f"{type(source.matcher).__name__}, exported by ost_lightning {version('ost-lightning')}. "
        f"Formats: {', '.join(formats)}.",
        _table(
            {
                "frames per clip": clips.frames,
                "views": source.clips.views,
                "pixels": f"{clips.crop_size} x {clips.crop_size}, {clips.framing}, short side {clips.short_side}",
                "interpolation": clips.resize,
                "mean": ", ".join(f"{value:.6g}" for value in pixels.mean),
                "standard deviation": ", ".join(f"{value:.6g}" for value in pixels.std),
                "classes": f"{len(labels)} (classes.txt)",
                **_parts(clip),
                "matcher": ", ".join(f"{key} {value}" for key, value in constructor_settings(source.matcher).items()),
                "digest of weights, sentences and settings": source.digest,
            }
        ),
    ]
    if settings:
        parts += ["## Graphs", _graphs(settings, precision), _USE]
    parts.append("## Scores")
    parts.append(_scores(results) if results is not None else "No results.json of a test of these weights was given.")
    return "\n\n".join([*parts, "## Origin and license", _origin(clip.pretrained, clip.tuned_from)]) + "\n"


_USE = """```sh
python runner.py clip.mp4
```

The program needs NumPy, PyAV and the runtime. The input is uint8 frames (B, T, 3, S, S), the output probabilities
(B, K); probabilities of several views are averaged."""


def _graphs(settings: Mapping[str, Any], precision: Precision) -> str:
    steps = settings["sinkhorn_iterations"]
    lines = [
        f"The precision is {precision}. "
        + (f"Sinkhorn's algorithm has {steps} iterations for each problem. " if steps else "")
        + "Agreement with the suite in fp32, measured after writing:",
        "",
        "| format | file | clips | equal top-1 | equal top-5 | largest difference of a probability |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, found in settings["agreement"].items():
        clips = f"{found['clips']} {found['videos']}"
        shares = " | ".join(f"{100 * found[share]:.1f} %" for share in ("top1_equal", "top5_equal"))
        lines.append(
            f"| {name} | {settings['graphs'][name]} | {clips} | {shares} | {found['largest_difference']:.1g} |"
        )
    return "\n".join(lines)


def _scores(results: RunResults) -> str:
    lines = [results.markdown(), "| set | label space | classes | list | listed | found | in training | digest |"]
    lines.append("| --- | --- | ---: | --- | ---: | ---: | ---: | --- |")
    for name, result in results.sets.items():
        card = result.card
        seen = "unknown" if card.in_training is None else card.in_training
        cells = (
            name,
            card.label_space,
            card.classes,
            card.list or "unknown",
            card.listed,
            card.found,
            seen,
            card.digest,
        )
        lines.append(f"| {' | '.join(markdown_text(str(cell)) for cell in cells)} |")
    return "\n".join(lines)


def _parts(clip: VideoCLIP) -> dict[str, str]:
    """Returns a row on what is trained beside the encoder; empty if there is nothing."""
    parts = clip.part_settings()
    if not parts:
        return {}
    named = [
        f"{part['class']} ({name})" if isinstance(part, Mapping) else f"{name} {part}" for name, part in parts.items()
    ]
    return {"beside the encoder, read by ost_lightning only": ", ".join(named)}


def _origin(pretrained: str, tuned_from: str) -> str:
    notice = Path(pretrained) / _ORIGIN
    if notice.is_file():
        return markdown_line(" ".join(notice.read_text(encoding="utf-8").split()))
    if tiny := TINY_MODELS.get(pretrained) or TINY_MODELS.get(tuned_from):
        return f"Tuned from the tiny {tiny} that comes with ost_lightning (MIT license)."
    if Path(tuned_from).exists():
        return "The license of the original weights is unknown: it is that of the model that they were tuned from."
    return f"Tuned from [{tuned_from}](https://huggingface.co/{tuned_from}), whose license applies to these weights."


def _table(rows: Mapping[str, Any]) -> str:
    lines = [f"| {name} | {markdown_text(str(value))} |" for name, value in rows.items()]
    return "\n".join(["| setting | value |", "| --- | --- |", *lines])
