"""Settings on the command line and in YAML: short forms of data, and files that are not settings."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ost_lightning.cli import main
from ost_lightning.datamodules import HMDB51, UCF101, CombinedDataModule, VideoDataModule, VideoList, VideoLists
from ost_lightning.errors import UserError
from ost_lightning.experiment.settings_parser import SettingsParser, settings_text

LIST, LABELS = Path("new.txt"), "videos"
CONTENTS = "arm_3.mp4 0\nsecret_pool.mp4 1\n"


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Creates files whose contents must not be taken for settings."""
    monkeypatch.chdir(tmp_path)
    Path("new.txt").write_text(CONTENTS)
    Path("one.txt").write_text("secret_pool.mp4")
    Path("settings.yaml").write_text("secret_pool: 1\nmax_epochs: secret_pool\n")
    Path("broken.yaml").write_text("secret_pool: [1\n")


def parsed(*args: str, settings: dict[str, Any] | None = None) -> VideoDataModule:
    """Returns the data module of a command line, given settings of a YAML file."""
    parser = SettingsParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(VideoDataModule, "data", fail_untyped=False)
    if settings is not None:
        Path("data.yaml").write_text(yaml.safe_dump({"data": settings}))
        args = ("--config=data.yaml", *args)
    config = parser.parse_args(list(args))
    # what is written into a run's config.yaml gives the same data
    Path("again.yaml").write_text(settings_text(parser, config))
    again = parser.parse_args(["--config=again.yaml"])
    assert again.data == config.data
    return parser.instantiate(config).data


LISTS = {
    "class_path": "VideoLists",
    "init_args": {
        "root": "r",
        "train": {"list": "a", "labels": "old"},
        "test": {"own": {"list": "b", "labels": "old"}},
    },
}
FULL = {"list": "new.txt", "labels": "videos"}


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize(
    ("value", "sets"),
    [
        ("new.txt", {"": VideoList(LIST)}),
        ("{new: new.txt}", {"new": VideoList(LIST)}),
        ("{list: new.txt, labels: videos}", {"": VideoList(LIST, LABELS)}),
        ("{new: {list: new.txt, labels: videos}}", {"new": VideoList(LIST, LABELS)}),
        ("{a: new.txt, b: {list: new.txt}}", {"a": VideoList(LIST), "b": VideoList(LIST)}),
        ("null", {}),
    ],
)
def test_short_forms_of_lists(part: str, value: str, sets: dict[str, VideoList]) -> None:
    expected = {name or part: listed for name, listed in sets.items()}
    data = parsed(f"--data.{part}={value}", settings=LISTS)
    assert getattr(data, part) == expected
    in_yaml = LISTS | {"init_args": LISTS["init_args"] | {part: yaml.safe_load(value)}}
    assert getattr(parsed(settings=in_yaml), part) == expected


def test_dotted_settings_of_lists() -> None:
    data = parsed("--data.test.own.list=new.txt", "--data.val.list=new.txt", "--data.val.labels=videos", settings=LISTS)
    assert data.test == {"own": VideoList(LIST, "old")}
    assert data.val == {"val": VideoList(LIST, LABELS)}
    assert parsed("--data.test.new=new.txt", settings=LISTS).test == {
        "own": VideoList(Path("b"), "old"),
        "new": VideoList(LIST),
    }
    for short in ("--data.train=new.txt", "--data.train={list: new.txt}", "--data.train.list=new.txt"):
        assert parsed(short, settings=LISTS).train.list == LIST


def test_keys_of_a_list_are_not_names_of_sets() -> None:
    message = r"`test` has the keys list, lables\. Expected the keys of one set \(list, labels, root, optional\)"
    with pytest.raises(ValueError, match=message) as error:
        parsed("--data.test={list: new.txt, lables: videos}", settings=LISTS)
    assert isinstance(error.value.__cause__, UserError)


def test_short_forms_of_tables_and_of_combined_data() -> None:
    for value, expected in (("new.txt", {"test": LIST}), ("{own: new.txt}", {"own": LIST})):
        assert parsed("--data=VideoTable", "--data.root=r", f"--data.test={value}").test == expected
    one, several = "{class_path: HMDB51, init_args: {root: h}}", "[{class_path: HMDB51, init_args: {root: h}}]"
    for value in (one, several):
        data = parsed("--data=CombinedDataModule", f"--data.test={value}", f"--data.val={value}")
        assert [type(part) for part in (*data.test, *data.val)] == [HMDB51, HMDB51]
    assert CombinedDataModule(train=UCF101("u")).val[0].root == CombinedDataModule(val=UCF101("u")).val[0].root


def test_lists_share_a_label_space(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(name, "classes.txt").write_text("arm\npool\n")
    Path("arm_3.mp4").touch()
    Path("secret_pool.mp4").touch()

    def labels(**settings: Any) -> str:
        data = VideoLists(".", test=LIST, **settings)
        return Path(data.evaluation_videos("test")["test"].labels.origin).name

    assert labels(labels="a") == "a"
    assert labels(train=VideoList(LIST, "a")) == "a"
    assert labels(labels="b", train=VideoList(LIST, "a")) == "b"
    with pytest.raises(
        UserError, match=r"list new\.txt has no label space, and the other lists have several\. Set the"
    ):
        labels(train=VideoList(LIST, "a"), val=VideoList(LIST, "b"))
    with pytest.raises(UserError, match=r"no label space '\.'\. Expected a folder with a file classes\.txt"):
        labels()


@pytest.mark.parametrize("file", ["new.txt", "one.txt", "settings.yaml", "broken.yaml"])
@pytest.mark.parametrize(
    "option", ["data", "trainer", "model.matcher", "data.clips", "trainer.callbacks+", "data.shots"]
)
def test_contents_of_a_file_are_neither_settings_nor_in_an_error(
    option: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", "--config=own_videos", f"--{option}={file}", "--print_config"]) == 1
    message = capsys.readouterr().err
    assert file in message
    assert "secret" not in message
    assert "Traceback" not in message


def test_null_leaves_settings_within_settings_unset() -> None:
    """Also those that may be texts, for which it would otherwise be the text `None`."""
    unset = ["--data.clips.crop_size=null", "--data.clips.rand_augment", "null", "--data.clips.stride=null"]
    given = {"crop_size": 48, "rand_augment": [2, 9], "stride": 4}
    settings = {"class_path": "HMDB51", "init_args": {"root": "r", "clips": given}}
    clips = parsed(*unset, settings=settings).clips
    assert (clips.crop_size, clips.rand_augment, clips.stride) == (None, None, None)
    kept = parsed("--data.clips.flip=null", settings=settings).clips
    assert (kept.crop_size, kept.rand_augment, kept.stride) == (48, (2, 9), 4)


def test_groups_of_settings_in_one_option(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--trainer={max_epochs: 3}", "--data.loading={workers: 0}"]
    with pytest.raises(SystemExit):
        main(["test", "--config=own_videos", *options, "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["trainer"]["max_epochs"] == 3
    assert config["data"]["init_args"]["loading"]["workers"] == 0


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--trainr.devices=1", "--trainer.devices"),
        ("--trainer.maxepochs=1", "--trainer.max_epochs"),
        ("--modle.descriptors_per_class=2", "--model.descriptors_per_class"),
        ("--ckpt-pth=last", "--ckpt_path"),
        ("--tracking.wandbb=false", "--tracking.wandb"),
        ("--data.clip.frames=3", "'clips.frames'"),
        ("--data.loading.worker=2", "'loading.workers'"),
        ("--trainer.max_epoch=1", "--trainer.max_epochs"),
        ("--data.test.own.lst=a", "'list'"),
        ("--data={class_path: VideoLists, init_arg: {root: a}}", "`init_args`"),
        ("--data=VideoList", "VideoLists"),
    ],
)
def test_unknown_options_are_corrected(option: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--config=own_videos", option]) == 1
    assert " ".join(capsys.readouterr().err.split()).count(f"Did you mean {meant}?") == 1


def test_arguments_that_are_no_options_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--config=own_videos", "arm_3.mp4"]) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert (
        "unrecognized arguments: arm_3.mp4. Settings are options; a list of videos is given as --data.test" in message
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("trainr: {devices: 1}", "--trainer.devices"),
        ("tracking: {folder: runs, wandbb: false}", "--tracking.wandb"),
        ("\ndata: {init_arg: {root: a}}", "`init_args`"),
        ("\ntrainer: {callbacks: [{class-paht: WeightEnsembling}]}", "`class_path`"),
        ("data: {init_args: {rot: a}}", "'root'"),
    ],
)
def test_unknown_keys_in_files_are_corrected(text: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("more.yaml").write_text(text)
    assert main(["test", "--config=own_videos", "--config=more.yaml"]) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert f"Did you mean {meant}?" in message
    assert "more.yaml:2" in message or meant.strip("'")[0] != "`"
