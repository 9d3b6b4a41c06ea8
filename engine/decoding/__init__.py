"""Decoding in processes of its own, which can be killed: a hostile file may crash, hang or fill one, and never the run.

`decoder` is run as a program. It reads requests from its standard input and writes answers to its standard output, each
a JSON header and raw bytes (`messages`): nothing that comes back from a decoder is ever unpickled.
"""

from engine.decoding.contract import Decoded, DecodedFrame, Wanted
from engine.decoding.pool import DecoderPool, decode_all, usable_cores

__all__ = ["Decoded", "DecodedFrame", "DecoderPool", "Wanted", "decode_all", "usable_cores"]
