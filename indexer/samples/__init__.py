"""The sample library: pictures drawn from a seed, with captions, that `rebus demo` indexes and searches."""

from indexer.samples.library import VERSION, draw_library, draw_picture
from indexer.samples.plan import LEAST, Picture, describe, plan_library
from indexer.samples.view import View

__all__ = ["LEAST", "VERSION", "Picture", "View", "describe", "draw_library", "draw_picture", "plan_library"]
