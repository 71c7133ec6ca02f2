"""Adapter to LightningCLI: the only module that uses its private names, which it gives public names."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import yaml
from lightning.fabric.plugins.precision.precision import _PRECISION_INPUT
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from ost_lightning.experiment.settings_parser import SettingsParser, settings_text


class _ExperimentParser(SettingsParser, LightningArgumentParser):
    pass


class ExperimentTrainer(Trainer):
    """Lightning's trainer, whose precision may also be `auto` on the command line and in YAML.

    Args:
        args: Arguments of the trainer by position.
        precision: Precision of the computation. `auto` is bf16-mixed on GPUs that support it, and 32-true elsewhere;
            the command line replaces it before the trainer is created.
        kwargs: Arguments of the trainer by name.
    """

    def __init__(self, *args: Any, precision: _PRECISION_INPUT | Literal["auto"] | None = None, **kwargs: Any) -> None:
        if precision == "auto":
            raise ValueError("precision must be resolved before the trainer is created")
        super().__init__(*args, precision=precision, **kwargs)


class AdaptedLightningCLI(LightningCLI):
    """LightningCLI with public hooks for its extra callbacks and for the run of a subcommand."""

    requested: str | None = None
    """Subcommand of the command line; only its parser gets arguments, because adding them takes time."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Creates a parser that raises exceptions instead of printing pages of usage."""
        self.parser_class = _ExperimentParser
        return super().init_parser(exit_on_error=False, **kwargs)

    def setting(self, key: str) -> Any:
        """Returns an instantiated setting of the subcommand."""
        return self._get(self.config_init, key)

    def parsed_setting(self, key: str) -> Any:
        """Returns a setting of the subcommand as it was parsed."""
        return self._get(self.config, key)

    def config_text(self) -> str:
        """Returns the complete configuration of the subcommand as YAML."""
        return settings_text(self._parser(self.subcommand), self.config[self.subcommand])

    def default_callbacks(self, callbacks: Iterable[Callback], trainer: dict[str, Any]) -> list[Callback]:
        """Selects the callbacks of a run among those that the parser configures for every run.

        Args:
            callbacks: Callbacks configured by the parser.
            trainer: Settings of the trainer.
        """
        del trainer
        return list(callbacks)

    def run_context(self) -> AbstractContextManager[None]:
        """Returns the context in which a subcommand runs."""
        return nullcontext()

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        if self.requested not in (None, subcommand):
            return self.init_parser(**kwargs)
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if "verbose" in parser.get_defaults():
            parser.set_defaults(verbose=False)  # results are printed in one table, with percentages
        return parser

    def _dump_config(self) -> None:
        """Keeps the settings that Lightning gives to modules as hyperparameters."""
        if not hasattr(self, "config_dump"):
            self.config_dump = yaml.safe_load(settings_text(self.parser, self.config, skip_link_targets=False))
            if self.subcommand is not None:
                self.config_dump = self.config_dump[self.subcommand]

    def _parse_ckpt_path(self) -> None:
        """Keeps the user's configuration, which Lightning would override by the checkpoint's settings."""

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        return super()._instantiate_trainer(config, self.default_callbacks(callbacks, config))

    def _run_subcommand(self, subcommand: str) -> None:
        with self.run_context():
            try:
                super()._run_subcommand(subcommand)
            except SystemExit as stop:
                if isinstance(stop.__context__, KeyboardInterrupt):  # the trainer replaces it by the status 1
                    raise KeyboardInterrupt from stop
                raise
