from unittest.mock import create_autospec

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser

from ost_lightning.callbacks.resuming import CONFIG_IN_CHECKPOINT
from ost_lightning.experiment.run_config import RunConfig


def test_checkpoints_get_the_configuration_which_is_written_out_once() -> None:
    parser = create_autospec(LightningArgumentParser)
    parser.dump.return_value = "data: http://me:secret@host/videos\n"
    config, module, trainer = RunConfig(parser, None), create_autospec(LightningModule), create_autospec(Trainer)
    checkpoints: list[dict[str, str]] = [{}, {}]
    for checkpoint in checkpoints:
        config.on_save_checkpoint(trainer, module, checkpoint)
    assert checkpoints[0] == checkpoints[1]
    assert "http://" in checkpoints[0][CONFIG_IN_CHECKPOINT]
    assert "secret" not in checkpoints[0][CONFIG_IN_CHECKPOINT]
    parser.dump.assert_called_once()
