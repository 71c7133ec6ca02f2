"""Lists and label spaces move with the videos: their paths may be relative to the root."""

from pathlib import Path

import pytest

from ost_lightning.datamodules import VideoList, VideoLists, VideoTable
from ost_lightning.errors import UserError
from tests.datamodules.miniatures import write


@pytest.fixture(autouse=True)
def _projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two projects in one folder; neither is the working folder."""
    for name, classes in (("a", "run\nwalk\n"), ("b", "walk\nswim\n")):
        write(tmp_path / name / "1.mp4", "")
        write(tmp_path / name / "classes.txt", classes)
        write(tmp_path / name / "other/classes.txt", f"{name}1\n{name}2\n")
        write(tmp_path / name / "test.txt", "1.mp4 1\n")
        write(tmp_path / name / "test.csv", f"path,label\n1.mp4,{name}2\n")
    write(tmp_path / "project/here.txt", "1.mp4 0\n")
    monkeypatch.chdir(tmp_path / "project")


def found(data: VideoLists | VideoTable) -> tuple[str, str]:
    """Returns the path of the only test video, and the name of its class."""
    (videos,) = data.evaluation_videos("test").values()
    (record,) = videos.records
    return str(record.path), videos.labels.names[record.label]


def test_lists_and_labels_follow_the_root() -> None:
    for root, name in (("../a", "walk"), ("../b", "swim"), ("../b/../a/", "walk")):
        assert found(VideoLists(root, test={"own": VideoList(Path("test.txt"))}))[1] == name
    assert found(VideoLists("../b", test={"own": VideoList(Path("test.txt"), "other")})) == ("../b/1.mp4", "b2")
    assert found(VideoLists("../b", test={"own": VideoList(Path("test.txt"), root="../a")})) == ("../a/1.mp4", "walk")
    assert found(VideoTable("../a", test={"own": Path("test.csv")}, labels="other")) == ("../a/1.mp4", "a2")


def test_paths_relative_to_the_working_folder_go_on_working() -> None:
    assert found(VideoLists("../a", test={"own": VideoList(Path("here.txt"), "../b")})) == ("../a/1.mp4", "walk")
    assert found(VideoLists("../a", test={"own": VideoList(Path("../b/test.txt"), "kinetics400")}))[1] == "air drumming"


def test_a_path_with_two_meanings_is_refused() -> None:
    write(Path("test.txt"), "1.mp4 0\n")
    with pytest.raises(UserError, match=r"both \.\./a/test\.txt and /.*/project/test\.txt, so that test\.txt has two"):
        found(VideoLists("../a", test={"own": VideoList(Path("test.txt"))}))
    assert found(VideoLists("../a", test={"own": VideoList(Path("test.txt").absolute())}))[1] == "run"
    write(Path("1.mp4"), "")
    write(Path("classes.txt"), "run\nwalk\n")
    assert found(VideoLists(".", test={"own": VideoList(Path("test.txt"))}))[1] == "run"  # both are the same file


def test_a_missing_list_is_an_error_unless_it_is_optional() -> None:
    lists = {"own": VideoList(Path("val.txt"))}
    with pytest.raises(UserError, match=r"list val\.txt does not exist, neither in the data's `root` \.\./a nor in"):
        VideoLists("../a", val=lists).evaluation_videos("val")
    with pytest.raises(UserError, match=r"^The video folder \.\./c does not exist"):
        VideoLists("../c", val=lists).evaluation_videos("val")
    optional = {"own": VideoList(Path("val.txt"), optional=True)}
    assert VideoLists("../a", val=optional).evaluation_videos("val") == {}
    write(Path("../a/val.txt"), "1.mp4 0\n")
    assert list(VideoLists("../a", val=optional).evaluation_videos("val")) == ["own"]


def test_lists_beside_a_url_are_local() -> None:
    data = VideoLists("memory://nothing", test={"own": VideoList(Path("here.txt"), "../a")})
    assert found(data) == ("memory://nothing/1.mp4", "run")
