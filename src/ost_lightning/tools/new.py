"""`ost new`: a project from folders of videos, one per class."""

from pathlib import Path


def new(
    folder: Path,
    output: Path | None = None,
    val: float = 0.1,
    test: float = 0.2,
    source: str | None = None,
    seed: int = 0,
    pretrained: str = "openai/clip-vit-base-patch16",
) -> None:
    """Makes a project from folders of videos: classes.txt, lists for training, validation and test, and an experiment.

    The folder has a subfolder per class, or subfolders train, val and test with a subfolder per class each. A part that
    has no subfolder is drawn from the training videos. Clips that were cut from one recording, as far as their names
    tell, go to the same part. No video is opened, moved or changed.

    Args:
        folder: Folder with the folders of classes.
        output: Folder for the project; the folder of the videos if not given.
        val: Share of the videos of each class for validation, 0 to 1.
        test: Share of the videos of each class for the test, 0 to 1.
        source: Regular expression whose first group is the name of the recording in the file name of a clip, without
            its extension, such as '(.+)_[0-9]+'. If not given, common ways of naming clips are recognized.
        seed: Seed for drawing the videos of each part.
        pretrained: Hub id or folder of the model that the experiment starts from.
    """
    from ost_lightning.tools.new_project import create_project

    print(create_project(folder, output or folder, val, test, source, seed, pretrained))
