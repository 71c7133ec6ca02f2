import logging

from ost_lightning.models.token_count import token_count


def test_sentences_that_are_too_long_are_counted_without_a_warning_of_errors() -> None:
    records: list[logging.LogRecord] = []

    class Records(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger, handler = logging.getLogger("transformers"), Records()
    logger.addHandler(handler)
    try:
        counts = token_count("tiny").count(["kicking drum", " ".join(["drum"] * 100)])
    finally:
        logger.removeHandler(handler)
    assert counts[0] < 77 < counts[1]
    assert not records
