"""The app: one page on which people recognize videos, ask a library, and compare models. It needs the extra `app`."""

from ost_lightning.app.running import run
from ost_lightning.app.settings import AppSettings, read_auth, read_size

__all__ = ["AppSettings", "read_auth", "read_size", "run"]
