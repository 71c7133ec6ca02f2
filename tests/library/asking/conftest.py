"""Fixtures of the tests in this folder."""

from tests.library.rendered import library, recognizer, space, videos

__all__ = ["library", "recognizer", "space", "videos"]
