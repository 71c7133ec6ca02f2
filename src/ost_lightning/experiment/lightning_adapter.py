"""LightningCLI's private names, in this file only: what experiments need of them has public names here."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI


class AdaptedLightningCLI(LightningCLI):
    """LightningCLI with public hooks for its extra callbacks and for the run of a subcommand."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Errors come out as exceptions, without the pages of usage."""
        return super().init_parser(exit_on_error=False, **kwargs)

    def setting(self, key: str) -> Any:
        """A setting of the chosen subcommand, instantiated."""
        return self._get(self.config_init, key)

    def given(self, key: str) -> Any:
        """A setting of the chosen subcommand as it was parsed."""
        return self._get(self.config, key)

    def config_text(self) -> str:
        """The whole configuration of the chosen subcommand as YAML."""
        text: str = self._parser(self.subcommand).dump(self.config[self.subcommand], skip_none=False)
        return text

    def always_on(self, callbacks: Iterable[Callback], trainer: dict[str, Any]) -> list[Callback]:
        """Chooses among the callbacks that every run has.

        Args:
            callbacks: Those that the parser configured.
            trainer: Settings of the trainer.
        """
        del trainer
        return list(callbacks)

    def running(self) -> AbstractContextManager[None]:
        """Surrounds the run of a subcommand."""
        return nullcontext()

    def _parse_ckpt_path(self) -> None:
        """Leaves the configuration as the user gave it; Lightning would let the checkpoint's settings override it."""

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        return super()._instantiate_trainer(config, self.always_on(callbacks, config))

    def _run_subcommand(self, subcommand: str) -> None:
        with self.running():
            super()._run_subcommand(subcommand)
