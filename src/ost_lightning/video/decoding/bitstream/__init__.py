"""Headers of coded pictures: what depends on a picture, where decoding can start, and presentation order."""

from ost_lightning.video.decoding.bitstream.nal_units import H264Parser, length_size
from ost_lightning.video.decoding.bitstream.parameter_sets import SliceHeader
from ost_lightning.video.decoding.bitstream.parsers import headers_contain_order, parser_for, reorders_by_type
from ost_lightning.video.decoding.bitstream.pictures import Data, Parser, PictureInfo, coded_order, order_by_types

__all__ = [
    "Data",
    "H264Parser",
    "Parser",
    "PictureInfo",
    "SliceHeader",
    "coded_order",
    "headers_contain_order",
    "length_size",
    "order_by_types",
    "parser_for",
    "reorders_by_type",
]
