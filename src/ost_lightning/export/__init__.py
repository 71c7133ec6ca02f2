"""Export of a recognizer: a folder for transformers, and graphs that other runtimes execute."""

from ost_lightning.export.exported_folder import ExportSettings, write_export
from ost_lightning.export.formats import Format, Precision
from ost_lightning.export.graph import ExportSource

__all__ = ["ExportSettings", "ExportSource", "Format", "Precision", "write_export"]
