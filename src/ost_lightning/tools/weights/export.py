"""`ost export`: a recognizer as a folder for transformers, PyTorch, ONNX Runtime or OpenVINO."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ost_lightning.errors import UserError
from ost_lightning.tools.options import class_names
from ost_lightning.tools.weights.training_labels import training_labels

if TYPE_CHECKING:
    from ost_lightning.text import LabelSpace


def export(
    source: str,
    folder: Path,
    labels: str | None = None,
    classes: str | None = None,
    formats: str = "hf",
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    compare: Path | None = None,
    iterations: int | None = None,
    results: Path | None = None,
    push: str | None = None,
) -> None:
    """Writes weights, classes, sentence embeddings and graphs to a new folder, with a model card.

    Graphs contain vision tower, temporal head, sentence embeddings and matcher: from frames to probabilities. The
    program `runner.py` beside them recognizes videos without this package. Each graph is compared with this package
    after writing; if it fails, nothing is left.

    Args:
        source: Checkpoint (.ckpt), folder of a run or experiment, folder in HF format, hub id or `tiny`.
        folder: New folder.
        labels: Name of a label space (`kinetics400`) or folder of one; that of the training if not given.
        classes: Class names separated by commas, such as `archery, surfing`.
        formats: Formats separated by commas: `hf`, `torch_export`, `onnx`, `openvino`.
        precision: Precision of the graphs; `bf16` is for openvino, `int8` for onnx and openvino.
        compare: Folder of videos like those that will be recognized; agreement with fp32 is measured on them.
        iterations: Number of Sinkhorn's iterations in the graphs; that of the matcher, but at most 40, if not given.
        results: File results.json of a test of these weights, for the model card; that of the run if not given.
        push: Hub id to upload the folder to; the token is read from the environment variable HF_TOKEN.
    """
    chosen = class_names(labels, classes) if labels is not None or classes is not None else None
    from ost_lightning.export.formats import check_formats

    names = check_formats(tuple(name.strip() for name in formats.split(",") if name.strip()), precision)
    if folder.exists():
        raise UserError(f"{folder} already exists: choose another name, or remove it.")
    if push is not None:
        from ost_lightning.export.hub import upload, write_token

        write_token()
    videos = _compared_videos(compare, names)
    from ost_lightning.export import ExportSettings
    from ost_lightning.export.tested_weights import results_of
    from ost_lightning.recognition import Recognizer, find_checkpoint

    checkpoint = find_checkpoint(Path(source))
    scores = results_of(checkpoint, results)
    recognizer = Recognizer.load(source, _labels_of(source, checkpoint) if chosen is None else chosen, "cpu")
    recognizer.export(folder, names, ExportSettings(precision, iterations, videos, scores))
    print(f"{folder}: {', '.join(names)} of {recognizer}")
    if push is not None:
        print(f"Uploaded to {upload(folder, push)}")


def _labels_of(source: str, checkpoint: Path | None) -> "LabelSpace":
    """Returns the label space of a training, or the one in a folder in HF format.

    Raises:
        UserError: If there is none.
    """
    from ost_lightning.text import LabelSpace
    from ost_lightning.text.label_files import CLASSES

    if checkpoint is not None:
        return training_labels(checkpoint)
    if (Path(source) / CLASSES).is_file():
        return LabelSpace.load(source)
    raise UserError(
        f"{source} has no classes of its own: give --labels (a label space such as kinetics400) or --classes "
        "'archery, surfing'."
    )


def _compared_videos(folder: Path | None, formats: tuple[str, ...]) -> list[Path]:
    if folder is None:
        return []
    if formats == ("hf",):
        raise UserError("--compare is for formats with a graph: leave it out, or add one to --formats.")
    from ost_lightning.recognition import find_videos

    return [Path(video) for video in find_videos([str(folder)])]
