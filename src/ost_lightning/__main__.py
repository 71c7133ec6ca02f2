"""Runs the `ost` command as `python -m ost_lightning`."""

from ost_lightning.cli import entry_point

entry_point()
