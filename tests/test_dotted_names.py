from ost_lightning.dotted_names import flatten


def test_nested_settings_have_dotted_names() -> None:
    settings = {"a": {"b": 1, "c": {"d": [2], "e": {}}}, "f": None}
    assert flatten(settings) == {"a.b": 1, "a.c.d": [2], "f": None}
    assert flatten({"a": 1}, "training.") == {"training.a": 1}
