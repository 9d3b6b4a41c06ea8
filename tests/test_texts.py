"""What heads read of words: learned alike, read back alike, in any script."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.aligners.texts import PAD, Lexical, TextInput, Tokens
from engine.errors import ArtifactError, InvalidInput

ENGLISH = [f"a {colour} {animal} runs on the {place}" for colour in ("black", "white", "brown")
           for animal in ("dog", "cat", "horse", "cow") for place in ("snow", "grass", "beach", "road")]  # fmt: skip
CHINESE = ["一只狗在雪地里", "一个小孩在玩球", "黑狗和白狗", "小孩子在草地上", "一匹马在海滩上"] * 3
CAPTIONS = ENGLISH + CHINESE


@pytest.fixture(scope="module")
def lexical() -> Lexical:
    return Lexical.learn(CAPTIONS, 400, 24, 0)


def test_rows_are_of_unit_length_and_like_captions_are_near(lexical: Lexical) -> None:
    rows = lexical(["a black dog", "the black dog runs", "a white cow", "黑狗", "狗在雪地"])
    assert rows.shape == (5, 24) and rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(5))
    near = rows @ rows.T
    assert near[0, 1] > near[0, 2] and near[3, 4] > near[3, 0]


def test_words_never_seen_say_nothing(lexical: Lexical) -> None:
    assert lexical(["", "ЖЖЖ", "\x00"]).abs().max() == 0
    assert lexical([]).shape == (0, 24)


def test_equals_the_singular_vectors_of_scikit_learn() -> None:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    rng = np.random.default_rng(0)  # uneven counts, so that no two singular values are the same
    captions = [" ".join(rng.choice(ENGLISH[row % 13].split(), 4)) for row in rng.integers(0, 48, 300)]
    ours = Lexical.learn(captions, 400, 6, 0)
    vectorizer = TfidfVectorizer(sublinear_tf=True, tokenizer=lambda text: ours.tokenizer.encode(text).tokens,
                                 token_pattern=None)  # fmt: skip
    theirs = TruncatedSVD(6, algorithm="arpack", random_state=0).fit_transform(vectorizer.fit_transform(captions))
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    rows = ours(captions).numpy()
    np.testing.assert_allclose(rows @ rows.T, theirs @ theirs.T, atol=2e-3)


@pytest.mark.parametrize("vocabulary", [300, 2000])
def test_learning_again_gives_the_same(vocabulary: int) -> None:
    first, again = (Lexical.learn(CAPTIONS, vocabulary, 16, 3) for _ in range(2))
    assert first.tokenizer.to_str() == again.tokenizer.to_str()
    assert torch.equal(first.vectors, again.vectors)


def test_characters_without_spaces_stand_alone_and_words_are_whole() -> None:
    tokenizer = Tokens.learn(CAPTIONS, 400, 77).tokenizer
    assert tokenizer.encode("black dog").tokens == ["black", "dog"]
    assert tokenizer.encode("Black狗，DOG雪地").tokens == ["black", "狗", "[UNK]", "dog", "雪", "地"]


def test_tokens_are_cut_and_padded() -> None:
    texts = Tokens.learn(CAPTIONS, 400, 8)
    rows = texts(["dog", "a b c d a black dog runs on the snow", ""])
    assert rows.shape == (3, 8) and rows.dtype == torch.int64
    assert (rows[0, 1:] == PAD).all() and (rows[2] == PAD).all() and rows[1].min() > PAD
    assert rows.max() < texts.vocabulary and texts([""]).shape == (1, 1) and texts([]).shape == (0, 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_words_are_read(texts: list[str]) -> None:
    tokens = Tokens.learn(ENGLISH, 300, 16)
    rows = tokens(texts)
    assert rows.shape[0] == len(texts) and 1 <= rows.shape[1] <= 16


@pytest.mark.parametrize("made", [Lexical.learn(CAPTIONS, 400, 24, 0), Tokens.learn(CAPTIONS, 400, 9)])
def test_read_back_as_written(made: TextInput, tmp_path: Path) -> None:
    made.save(tmp_path)
    assert torch.equal(type(made).load(tmp_path, made.shape)(CAPTIONS), made(CAPTIONS))
    (tmp_path / "text.tokenizer.json").write_text('{"model": ')
    with pytest.raises(ArtifactError, match="train the head again"):
        type(made).load(tmp_path, made.shape)


def test_word_vectors_of_another_head_are_refused(lexical: Lexical, tmp_path: Path) -> None:
    lexical.save(tmp_path)
    with pytest.raises(ArtifactError, match="another head"):
        Lexical.load(tmp_path, {"width": 25})
    (tmp_path / "text.safetensors").write_bytes(b"short")
    with pytest.raises(ArtifactError, match="cannot be read"):
        Lexical.load(tmp_path, lexical.shape)


@pytest.mark.parametrize("captions", [[], ["", "  "]])
def test_captions_without_words_are_refused(captions: list[str]) -> None:
    with pytest.raises(InvalidInput, match="hold no words"):
        Lexical.learn(captions, 400, 8, 0)


def test_a_query_loads_no_fitting_library(lexical: Lexical, tmp_path: Path) -> None:
    lexical.save(tmp_path)
    code = f"""
import sys
from pathlib import Path
from engine.aligners.texts import Lexical
Lexical.load(Path({str(tmp_path)!r}), {lexical.shape!r})(["a dog"])
assert not {{"sklearn", "scipy"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
