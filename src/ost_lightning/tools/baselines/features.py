"""`ost features`: ER-ZSAR's head on features of videos that other networks computed."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ost_lightning.errors import UserError
from ost_lightning.files import write_text_atomically
from ost_lightning.tools.options import output_folder
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from ost_lightning.datamodules.feature_files import VideoFeatures
    from ost_lightning.datamodules.labeled_videos import LabeledVideos
    from ost_lightning.tasks.feature_rehearsal import FeatureRehearsal

CHECKPOINT: Final = "last.ckpt"
_BATCH: Final = 128


def train_head(
    list: Path,
    features: Path,
    concepts: Path,
    output: Path,
    labels: str = "kinetics400",
    definitions: Path | None = None,
    text_model: str = "bert-base-uncased",
    epochs: int = 10,
    batch_size: int = 128,
    learning_rate: float = 1e-4,
    width: int = 512,
    seed: int = 0,
    accelerator: str = "auto",
) -> None:
    """Trains the head of ER-ZSAR on features of videos; an interrupted training continues with its last epoch.

    This is not ER-ZSAR unless the features are those of its authors' networks: results are called "head after ER-ZSAR".

    Args:
        list: Training list: `path label` lines, or a table with the columns `path` and `label`. No video is opened.
        features: Safetensors file with one vector per video, under its id, which is the listed path.
        concepts: JSON with the names of the objects in each video by id, the most likely first; the first five count.
        output: Folder for the checkpoint.
        labels: Name of a label space, or its folder.
        definitions: JSON with a definition of each class by its name; class names alone if not given.
        text_model: Hub id or folder of a BERT.
        epochs: Number of passes over the videos.
        batch_size: Number of videos per step.
        learning_rate: Peak learning rate.
        width: Number of dimensions of the joint space.
        seed: Seed of weights, order and dropout.
        accelerator: Accelerator of Lightning's trainer.
    """
    folder = output_folder(output)
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("width", width)):
        if value < 1:
            raise UserError(f"--{name} is {value}: expected at least 1.")
    from lightning.pytorch import Trainer, seed_everything
    from lightning.pytorch.callbacks import ModelCheckpoint
    from torch.utils.data import DataLoader

    from ost_lightning.datamodules.feature_files import VideoFeatures, class_definitions
    from ost_lightning.models.feature_heads import collate_features
    from ost_lightning.tasks.feature_rehearsal import FeatureRehearsal
    from ost_lightning.video import TrainingSampler

    videos = _listed(list, labels)
    data = VideoFeatures(videos.records, features, concepts)
    texts = class_definitions(videos.labels, definitions)
    if len(data) < batch_size:
        raise UserError(f"There are {counted(len(data), 'video')}, fewer than --batch_size {batch_size}: decrease it.")
    seed_everything(seed, verbose=False)
    task = FeatureRehearsal(data.width, texts, text_model, width, learning_rate, data_digest=data.digest)
    sampler = TrainingSampler(len(data), batch_size=batch_size, seed=seed)
    loader = DataLoader(data, batch_size=batch_size, sampler=sampler, collate_fn=collate_features)
    saved = folder / CHECKPOINT
    if saved.is_file():
        _require_same(saved, task)
    trainer = Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=epochs,
        gradient_clip_val=10.0,
        logger=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[ModelCheckpoint(folder, filename="last", enable_version_counter=False)],
    )
    trainer.fit(task, loader, ckpt_path=saved if saved.is_file() else None, weights_only=True)
    print(f"{counted(len(data), 'video')}, {counted(epochs, 'epoch')}: {saved}")


def score_head(
    list: Path,
    features: Path,
    concepts: Path,
    checkpoint: Path,
    output: Path,
    labels: str = "k600-split1",
    definitions: Path | None = None,
    name: str | None = None,
    device: str = "cpu",
) -> None:
    """Tests a head that `ost features fit` trained, and writes results.json for `ost results`.

    Args:
        list: Test list, with labels; every video has to have features and objects.
        features: Safetensors file with one vector per video, under its id, which is the listed path.
        concepts: JSON with the names of the objects in each video by id, the most likely first.
        checkpoint: Checkpoint of the head.
        output: Folder for the results.
        labels: Name of a label space, or its folder; its classes may be others than those of the training.
        definitions: JSON with a definition of each class by its name; class names alone if not given.
        name: Name of the features in tables, such as `TSM ResNet-50`; that of their file if not given.
        device: Device for computation.
    """
    folder = output_folder(output)
    if not checkpoint.is_file():
        raise UserError(f"There is no checkpoint {checkpoint}: `ost features fit` writes one.")
    import torch
    from torch.utils.data import DataLoader

    from ost_lightning.datamodules.feature_files import VideoFeatures, class_definitions
    from ost_lightning.models.feature_heads import collate_features
    from ost_lightning.tasks.feature_rehearsal import FeatureRehearsal
    from ost_lightning.video import EvaluationSampler

    videos = _listed(list, labels)
    task = FeatureRehearsal.load_from_checkpoint(checkpoint, map_location=device, weights_only=True).eval()
    data = VideoFeatures(videos.records, features, concepts, task.head.video_width)
    texts = class_definitions(videos.labels, definitions)
    loader = DataLoader(data, _BATCH, sampler=EvaluationSampler(len(data)), collate_fn=collate_features)
    top = min(5, len(videos.labels))
    correct = torch.zeros(2, dtype=torch.int64)
    with torch.inference_mode():
        classes = task.encode(texts)
        for batch in loader:
            batch.features = batch.features.to(device)
            hits = task.scores(batch, classes).topk(top).indices.cpu() == batch.labels[:, None]
            correct += torch.stack([hits[:, 0].sum(), hits.any(1).sum()])
    first, fifth = (round(int(count) / len(data), 6) for count in correct)
    _write_results(task, videos, data, checkpoint, folder, name or features.stem, (first, fifth))


def _listed(file: Path, labels: str) -> "LabeledVideos":
    from ost_lightning.datamodules.labeled_videos import LabeledVideos
    from ost_lightning.text import LabelSpace
    from ost_lightning.video.annotations import ClassIndex, read_records

    space = LabelSpace.load(labels)
    return LabeledVideos(read_records(file, ClassIndex(space.names, space.published)), space, source=str(file))


def _require_same(checkpoint: Path, task: "FeatureRehearsal") -> None:
    """Checks that a checkpoint is of this training, so that it can continue.

    Raises:
        UserError: If a setting, a class or the data differs.
    """
    import torch

    before = torch.load(checkpoint, weights_only=True, map_location="cpu")["hyper_parameters"]
    differing = [name for name, value in task.hparams.items() if before.get(name) != value]
    if differing:
        raise UserError(
            f"{checkpoint} was trained with another {' and '.join(differing)}: choose another folder as --output, or "
            "remove it."
        )


def _write_results(
    task: "FeatureRehearsal",
    videos: "LabeledVideos",
    data: "VideoFeatures",
    checkpoint: Path,
    folder: Path,
    name: str,
    accuracy: tuple[float, float],
) -> None:
    """Writes results.json and results.md."""
    from ost_lightning import __version__
    from ost_lightning.analysis.results.run_results import RESULTS_FILE, DataCard, RunResults, Score, SetResult
    from ost_lightning.callbacks.reporting.code_revision import git_state
    from ost_lightning.callbacks.reporting.data_cards import label_space_name
    from ost_lightning.callbacks.reporting.published_lists import digest_of, labels_digest_of, published_as

    count, published = len(videos.records), published_as(videos).list
    card = DataCard(
        label_space_name(videos.labels),
        len(videos.labels),
        "words",
        digest_of(videos),
        published.name if published else None,
        published.benchmark if published else None,
        published.part if published else None,
        count,
        count,
        None,
        labels_digest_of(videos),
        {"name": data.digest},
    )
    score = Score(*accuracy, count, 0)
    results = RunResults(
        run=f"{folder.absolute().parent.name}/{folder.name}",
        protocol=None,
        seed=None,
        package=__version__,
        git=git_state(),
        model={
            "task": type(task).__name__,
            "backbone": f"features: {name}",
            "features": {"name": name, "width": data.width, "digest": data.digest},
            "pretrained": task.hparams["text_model"],
            "matcher": {"class": type(task.head).__name__},
        },
        clips={"frames": "as in the features", "views": 1, "crops": 1, "framing": "as in the features"},
        checkpoint={"path": str(checkpoint), "settings": dict(task.hparams)},
        sets={label_space_name(videos.labels): SetResult(card, {"as trained": score})},
        remarks=["ER-ZSAR's head on features that a user supplied; not comparable with the published ER-ZSAR."],
        method=f"head after ER-ZSAR, features: {name}",
    )
    results.save(folder / RESULTS_FILE)
    write_text_atomically(folder / "results.md", results.markdown())
    print(results.markdown())
