"""What an aligner reads of words when no encoder gives it embeddings of them: learned from a library's captions.

A tokenizer (of the tokenizers library, byte-pair merges learned from the captions) is shared by both kinds.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Encoding, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional as F

from engine.errors import ArtifactError, InvalidInput

PAD, UNKNOWN = 0, 1
_TOKENIZER, _VECTORS = "text.tokenizer.json", "text.safetensors"
_SAMPLE, _BLOCK = 200_000, 4096  # captions whose singular vectors are taken, and captions tokenized at once
_STANDS_ALONE = Regex(r"[\p{Han}\p{Hiragana}\p{Katakana}]")


class TextInput:
    """Turns words into an aligner's input for text. `shape`: the JSON values that `load` needs beside its files."""

    kind: ClassVar[str]
    shape: dict[str, Any]

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Vectors (n, width) float32 of unit length, or tokens (n, t) int64 where 0 pads."""
        raise NotImplementedError

    def knows(self, words: str) -> bool:
        """Whether anything of these words occurs in the captions it was learned from."""
        return bool(self([words]).any())

    def save(self, folder: Path) -> None:
        """Write what `load` reads, as files of a head's folder whose names begin with `text`."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, shape: dict[str, Any]) -> Self:
        """Read what `save` wrote. Raises ArtifactError."""
        raise NotImplementedError


class Lexical(TextInput):
    """Latent semantic analysis (Deerwester et al. 1990): weighted tokens, mapped to the leading singular vectors.

    A token counts (1 + log tf) · idf; idf = log((1 + n) / (1 + df)) + 1. vectors: (V, width) float32, the right
    singular vectors of the captions' unit rows, each times its token's idf. Words never seen give a row of zeros.
    """

    kind = "lexical"

    def __init__(self, tokenizer: Tokenizer, vectors: Tensor) -> None:
        self.tokenizer, self.vectors = tokenizer, vectors
        self.shape = {"width": vectors.shape[1]}

    @classmethod
    def learn(cls, captions: Sequence[str], vocabulary: int, width: int, seed: int) -> Self:
        """The same captions and seed give the same vectors. Fewer captions or tokens than `width` give fewer columns.

        Raises InvalidInput when the captions hold no words.
        """
        from scipy.sparse import csr_matrix  # start-up time: a query needs neither
        from sklearn.utils.extmath import randomized_svd

        tokenizer = learn_tokenizer(captions, vocabulary)
        if len(captions) > _SAMPLE:
            chosen = np.random.default_rng(seed).choice(len(captions), _SAMPLE, replace=False)
            captions = [captions[i] for i in np.sort(chosen)]
        tokens, weights, starts = _weighted(tokenizer, captions)
        size = tokenizer.get_vocab_size()
        idf = np.log((1 + len(captions)) / (1 + np.bincount(tokens, minlength=size))) + 1
        values = weights * idf[tokens]
        rows = np.repeat(np.arange(len(captions)), np.diff(starts))
        lengths = np.sqrt(np.bincount(rows, values**2, minlength=len(captions)))
        values = (values / lengths[rows]).astype(np.float32)
        counts = csr_matrix((values, tokens, starts), shape=(len(captions), size))
        width = min(width, len(captions), len(np.unique(tokens)))
        _, _, right = randomized_svd(counts, width, n_iter=4, random_state=seed)
        return cls(tokenizer, torch.from_numpy((right.T * idf[:, None]).astype(np.float32)).contiguous())

    def __call__(self, texts: Sequence[str]) -> Tensor:
        tokens, weights, starts = _weighted(self.tokenizer, texts)
        bags = F.embedding_bag(
            torch.from_numpy(tokens),
            self.vectors,
            torch.from_numpy(starts),
            mode="sum",
            per_sample_weights=torch.from_numpy(weights),
            include_last_offset=True,
        )
        return F.normalize(bags, dim=-1)

    def save(self, folder: Path) -> None:
        self.tokenizer.save(str(folder / _TOKENIZER))
        save_file({"vectors": self.vectors}, folder / _VECTORS)

    @classmethod
    def load(cls, folder: Path, shape: dict[str, Any]) -> Self:
        tokenizer = _load_tokenizer(folder)
        try:
            vectors = load_file(folder / _VECTORS)["vectors"]
        except (KeyError, OSError, SafetensorError) as error:
            raise ArtifactError(f"{folder / _VECTORS} cannot be read ({error}): train the head again") from None
        if vectors.shape != (tokenizer.get_vocab_size(), shape["width"]):
            raise ArtifactError(f"{folder} has word vectors {tuple(vectors.shape)} of another head: train it again")
        return cls(tokenizer, vectors.float())


class Tokens(TextInput):
    """Token ids for a tower of its own: cut at context_length, and padded with 0 to the longest of the batch."""

    kind = "tokens"

    def __init__(self, tokenizer: Tokenizer, context_length: int) -> None:
        self.tokenizer, self.context_length = tokenizer, context_length
        self.shape = {"context_length": context_length}

    @property
    def vocabulary(self) -> int:
        """How many tokens there are, the padding among them."""
        size: int = self.tokenizer.get_vocab_size()
        return size

    @classmethod
    def learn(cls, captions: Sequence[str], vocabulary: int, context_length: int) -> Self:
        """The same captions give the same tokens. Raises InvalidInput when the captions hold no words."""
        return cls(learn_tokenizer(captions, vocabulary), context_length)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(n, t) int64, t at least 1 and at most context_length."""
        rows = [encoding.ids[: self.context_length] for encoding in _encodings(self.tokenizer, texts)]
        out = torch.full((len(rows), max([1, *map(len, rows)])), PAD, dtype=torch.int64)
        for row, ids in zip(out, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
        return out

    def knows(self, words: str) -> bool:
        return bool((self([words]) > UNKNOWN).any())

    def save(self, folder: Path) -> None:
        self.tokenizer.save(str(folder / _TOKENIZER))

    @classmethod
    def load(cls, folder: Path, shape: dict[str, Any]) -> Self:
        return cls(_load_tokenizer(folder), int(shape["context_length"]))


def learn_tokenizer(captions: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-pair merges (Sennrich et al. 2016) of folded words; 0 is padding, 1 what was never seen.

    Words end where the script changes. Characters of scripts written without spaces stand alone: merged over a
    whole sentence they would become phrases that no other caption shares. Raises InvalidInput when there are no words.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.UnicodeScripts(),
            pre_tokenizers.Whitespace(),
            pre_tokenizers.Split(_STANDS_ALONE, "isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        limit_alphabet=vocabulary // 2,
        special_tokens=["[PAD]", "[UNK]"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    if tokenizer.get_vocab_size() <= UNKNOWN + 1:
        raise InvalidInput(f"the {len(captions)} captions hold no words: nothing can be learned from them")
    return tokenizer


def _load_tokenizer(folder: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(folder / _TOKENIZER))
    except Exception as error:  # the library raises nothing narrower
        raise ArtifactError(f"{folder / _TOKENIZER} cannot be read ({error}): train the head again") from None


def _encodings(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[Encoding]:
    """In blocks: an encoding holds far more than its ids."""
    for start in range(0, len(texts), _BLOCK):
        yield from tokenizer.encode_batch_fast(list(texts[start : start + _BLOCK]), add_special_tokens=False)


def _weighted(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Any, Any, Any]:
    """Distinct tokens int64, text after text, with weights 1 + log tf float32; starts (n + 1,) int64 of each text."""
    tokens, counts, starts = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [0]
    for encoding in _encodings(tokenizer, texts):
        ids = np.asarray(encoding.ids, np.int64)
        own, times = np.unique(ids[ids > UNKNOWN], return_counts=True)
        tokens.append(own)
        counts.append(times)
        starts.append(starts[-1] + len(own))
    weights = 1 + np.log(np.concatenate(counts).astype(np.float32))
    return np.concatenate(tokens), weights.astype(np.float32), np.asarray(starts, np.int64)
