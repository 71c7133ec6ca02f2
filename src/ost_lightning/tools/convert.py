"""`ost convert`: conversion of checkpoints to folders in HF format, and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from ost_lightning.text import LabelSpace


def convert(
    source: Path,
    output: Path,
    pretrained: str = "openai/clip-vit-base-patch16",
    layout: Literal["openai", "released"] = "released",
    labels: str | None = None,
) -> None:
    """Converts a checkpoint file to a folder in HF format (for `video_clip.pretrained`), or such a folder to a file.

    The folder of a checkpoint that `ost fit` wrote is loaded by transformers (`CLIPModel.from_pretrained`,
    `AutoTokenizer.from_pretrained`). The classes and descriptors that it was trained with are put beside the weights.

    Files are read as data only: a file that contains code is rejected, and the code never runs. Any other file that is
    not exactly one complete CLIP is rejected too.

    Args:
        source: Checkpoint (.ckpt) that `ost fit` wrote, or the folder of its run or experiment; file .pt or .pth (state
            dictionary of OpenAI's CLIP, OST or ViFi-CLIP); or folder in HF format.
        output: New folder, or new file.
        pretrained: Hub id or folder of the CLIP that a .pt or .pth file was fine-tuned from, for its tokenizer.
        layout: Parameter names in an output file: OpenAI's, or those of the released OST and ViFi-CLIP.
        labels: Name or folder of the label space to put beside the weights of an own checkpoint; that of its training
            if not given.
    """
    from ost_lightning.models.checkpoints.conversion import RELEASED_NOTICE, export_checkpoint, import_checkpoint
    from ost_lightning.models.encoders import is_open_clip

    if is_open_clip(str(source)):
        raise CheckpointError(
            f"{source} is a model of open_clip, which is not converted: the layouts are those of OpenAI's CLIP. "
            "video_clip.pretrained takes the folder as it is."
        )
    if (source / "config.json").is_file():
        count = export_checkpoint(source, output, layout)
        print(f"{output}: {count} tensors in the layout '{layout}'")
    elif (training := _training_config(source)) is not None:
        print(_export(source, output, training, labels))
    else:
        found, report = import_checkpoint(source, output, pretrained)
        print(f"{output}: {report} (layout '{found}')")
        if found == "released":
            print(RELEASED_NOTICE)


def _training_config(source: Path) -> str | None:
    """Returns the configuration in a checkpoint that `ost fit` wrote; None if another program wrote the file.

    Raises:
        UserError: If the source is a folder without weights.
    """
    from ost_lightning.models.checkpoints.initial_weights import read_checkpoint
    from ost_lightning.models.checkpoints.run_folders import CONFIG_IN_CHECKPOINT
    from ost_lightning.recognition import find_checkpoint

    if (file := find_checkpoint(source)) is None:
        return None
    try:
        return str(read_checkpoint(file).get(CONFIG_IN_CHECKPOINT, ""))
    except CheckpointError:
        return None


def _export(source: Path, output: Path, config: str, labels: str | None) -> str:
    """Writes model, tokenizer, classes and descriptors of an own checkpoint.

    Returns:
        Description of what was written, and of what the folder can't hold.

    Raises:
        CheckpointError: If the output exists already.
        UserError: If the settings of the checkpoint can't be read, or the label space doesn't exist.
    """
    import yaml

    from ost_lightning.files import atomic_write
    from ost_lightning.recognition import load_trained_model
    from ost_lightning.text import LabelSpace

    if output.exists():
        raise CheckpointError(f"{output} already exists: choose another name, or remove it.")
    model = load_trained_model(source)
    problem = ""
    try:
        space = LabelSpace.load(labels) if labels is not None else _training_labels(yaml.safe_load(config))
    except UserError as error:
        if labels is not None:
            raise
        space, problem = None, f"\nClasses are not included ({error}) Set --labels to include them."
    with atomic_write(output) as partial:
        partial.mkdir()
        model.video_clip.save_pretrained(partial)
        if space is not None:
            space.save(partial)
    what = (
        f"{counted(len(space), 'class', 'classes')} and {len(space.descriptors)} with descriptors"
        if space is not None
        else "no classes"
    )
    head = " The temporal head is read by this package only." if model.video_clip.temporal_head is not None else ""
    if model.video_clip.part_settings():
        head += " The learned prompts or the side network are read by this package only."
    return (
        f"{output}: {type(model.video_clip.encoder.model).__name__} and tokenizer, {what}\n"
        f"Trained with {type(model.matcher).__name__}, {model.descriptors_per_class} descriptors of each kind and "
        f"{model.clips.frames} frames per clip.{head}{problem}"
    )


def _training_labels(config: Any) -> "LabelSpace":
    """Returns the label space of the training set that a run's configuration describes."""
    from jsonargparse import ArgumentError, ArgumentParser

    from ost_lightning.datamodules import VideoDataModule
    from ost_lightning.renamed_settings import with_new_names

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoDataModule, "data")
    try:
        settings = parser.instantiate(parser.parse_object({"data": with_new_names(config)["data"]}))
    except ArgumentError as error:
        raise UserError(f"The data settings in the checkpoint can't be read ({error}).") from error
    labels: LabelSpace = settings["data"].training_videos().labels
    return labels
