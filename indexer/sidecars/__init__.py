"""Captions and facts beside pictures: see Captions in the README for the forms that are read."""

from indexer.sidecars.names import is_sidecar, is_table
from indexer.sidecars.reader import CaptionReader
from indexer.sidecars.said import Captions, CaptionText

__all__ = ["CaptionReader", "CaptionText", "Captions", "is_sidecar", "is_table"]
