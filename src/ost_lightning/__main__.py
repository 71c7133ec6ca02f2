"""`python -m ost_lightning` is the `ost` command."""

from ost_lightning.cli import entry_point

entry_point()
