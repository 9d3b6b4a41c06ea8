"""The Wikipedia set of Rasiwasia et al. (2010) as its authors give it: a .mat with lists beside it.

Other sets in the same form can be read too: matrices I_tr, T_tr, I_te and T_te, the image and text features of pairs
row by row, and for each side a list of lines `TEXT<tab>IMAGE<tab>CATEGORY` in the same order.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.errors import InvalidInput
from indexer.imports.matrices import Matrix
from indexer.imports.tables import Record, read_names
from indexer.sidecars.said import CaptionText

_LARGEST = 4 << 30  # bytes in memory: a .mat cannot be read through a map
_SIDES = (("tr", "train", "trainset_txt_img_cat.list"), ("te", "test", "testset_txt_img_cat.list"))
_CATEGORIES = "categories.list"
_DAMAGE = (ValueError, TypeError, KeyError, IndexError, EOFError, MemoryError, OverflowError, zlib.error)


def load_mat(path: Path) -> tuple[Matrix, Matrix]:
    """Image and text features, training rows before test rows. Raises InvalidInput for any other content."""
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    names = [f"{kind}_{side}" for kind in "IT" for side, _, _ in _SIDES]
    try:
        shapes = {name: shape for name, shape, _ in whosmat(path)}
        missing = [name for name in names if name not in shapes]
        if missing:
            raise InvalidInput(f"{path} has no matrix {', '.join(missing)}: it holds {', '.join(shapes) or 'nothing'}")
        size = 8 * sum(int(np.prod([float(n) for n in shapes[name]])) for name in names)
        if size > _LARGEST:
            raise InvalidInput(f"{path} unfolds to {size:,} bytes, over the limit of {_LARGEST:,}: use .npy files")
        found = loadmat(path, variable_names=names)
    except NotImplementedError:
        raise InvalidInput(f"{path} is of MATLAB 7.3, which is not read: save it with -v7, or as .npy files") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from None
    except (*_DAMAGE, MatReadError) as error:
        raise InvalidInput(f"{path} is damaged or no .mat file ({error}): copy it again from its source") from None
    images, texts = (
        Matrix.of([(f"{name} of {path.name}", np.asarray(found[name])) for name in names if name[0] == kind])
        for kind in "IT"
    )
    return images, texts


def read_lists(folder: Path, lang: str) -> Iterator[Record]:
    """The pairs of both sides: named by picture, captioned with the article's name, with split and category."""
    categories = [record.name for record in read_names(folder / _CATEGORIES)] if _has_categories(folder) else []
    number = 0
    for _, split, name in _SIDES:
        for line in read_names(folder / name):
            parts = line.name.split("\t")
            if len(parts) != 3 or not all(parts):
                raise InvalidInput(f"{line.where} is not TEXT, IMAGE and CATEGORY with tabs between")
            text, image, category = parts
            words = (CaptionText(text, lang, "name"),)
            yield Record(image, line.where, words, (number,), split, _category(category, categories, line.where))
            number += 1


def _has_categories(folder: Path) -> bool:
    return (folder / _CATEGORIES).is_file()


def _category(value: str, names: list[str], where: str) -> str:
    if not names or not value.isdecimal():
        return value
    if not 1 <= int(value) <= len(names):
        raise InvalidInput(f"{where}: category {value} is none of the {len(names)} in {_CATEGORIES}")
    return names[int(value) - 1]


def is_mat_library(folder: Path) -> bool:
    """Whether a folder holds the lists of this form."""
    return all((folder / name).is_file() for _, _, name in _SIDES)
