from ost_lightning.vocabulary import counted


def test_numbers_agree_with_their_nouns() -> None:
    assert [counted(number, "video") for number in (0, 1, 2, 12345)] == [
        "0 videos",
        "1 video",
        "2 videos",
        "12,345 videos",
    ]
    assert [counted(number, "class", "classes") for number in (1, 400)] == ["1 class", "400 classes"]
