"""What is served now, as a rival of an encoder that was just trained: nothing that finds less takes its place."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from engine.catalog import Catalog, EncoderRow
from engine.config import Config
from engine.decoding import Decoded, DecoderPool, Wanted, decode_all
from engine.encoders import Encoder, load_encoder, resolved_spec
from engine.errors import ArtifactError, EncoderUnavailable
from engine.types import F32, Modality
from engine.versions import load_head
from indexer.metrics import PairRanks, pair_ranks
from indexer.splits import Captioned

_BLOCK = 64


def served_ranks(catalog: Catalog, config: Config, pictures: Sequence[Captioned], besides: str) -> PairRanks | None:
    """How the served encoder, through its head, ranks pictures for their captions and back.

    besides: the fingerprint of an encoder that is a rival already. None where nothing is served, or nothing but that,
    and where what is served cannot encode: its weights are gone, or it is features that were computed elsewhere.
    """
    version = catalog.current_version()
    if version is None:
        return None
    with catalog.session() as session:
        row = session.get_one(EncoderRow, version.encoder_id)
    if row.fingerprint == besides and version.head_id is None:
        return None
    try:
        encoder = load_encoder(resolved_spec(catalog.home, row.spec), config.encoder.device)
        head = load_head(catalog, version.head_id, row)
    except (EncoderUnavailable, ArtifactError):
        return None
    if encoder.fingerprint != row.fingerprint or not head.reads_words:
        return None
    words = [text for one in pictures for text in one.texts]
    owner = np.repeat(np.arange(len(pictures)), [len(one.texts) for one in pictures])
    images = head.project(_encoded(encoder, config, pictures), Modality.IMAGE)
    if head.texts is not None:
        return pair_ranks(images, head.project_texts(words), owner)
    return pair_ranks(images, head.project(encoder.encode_text(words), Modality.TEXT), owner)


def _encoded(encoder: Encoder, config: Config, pictures: Sequence[Captioned]) -> F32:
    """The embeddings (n, d) of pictures as indexing makes them; black in place of one that cannot be read now."""
    size, out = encoder.image_input, []
    black = np.zeros((size.height, size.width, 3), np.uint8)
    with DecoderPool(config.media, Wanted(size, phash=False)) as pool:
        decoded = iter(decode_all(pool, [Path(one.root) / one.path for one in pictures]))
        while some := list(islice(decoded, _BLOCK)):
            read = [one.frames[0].pixels if isinstance(one, Decoded) and one.frames else black for one in some]
            out.append(encoder.encode_pixels(np.stack(read)))
    return np.concatenate(out)
