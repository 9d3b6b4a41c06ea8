"""What each file of a folder is: media, a sidecar of one file, a table of captions, or the words of a picture."""

from collections.abc import Iterable

from engine.media import modality_of
from engine.types import Modality
from indexer.found import Folder, FoundFile
from indexer.sidecars.names import bare, describes, is_sidecar, is_table, known_as


def sort_in(folder: Folder, file: FoundFile) -> None:
    """Put a file where it belongs in its folder; one that is nothing to Rebus, nowhere."""
    name = bare(file.path)
    if is_sidecar(name):
        folder.sidecars[name] = file
    if modality_of(name) is not None:
        folder.media.append(file)


def tables_of(folder: Folder) -> tuple[FoundFile, ...]:
    """The tables among a folder's own sidecars that speak of all below it."""
    return tuple(file for name, file in folder.sidecars.items() if is_table(name))


def leave_captions_out(folder: Folder, names: Iterable[str]) -> None:
    """A text file beside a picture of its name holds the picture's captions; any other is a document of its own.

    names: of all files in the folder: the captions of a picture that is passed over are no document either.
    """
    texts = {bare(file.path) for file in folder.media if modality_of(file.path) is Modality.TEXT}
    if not texts:
        return
    pictures = (name for name in names if modality_of(name) not in (None, Modality.TEXT))
    called = {name for picture in pictures for name in known_as(picture)}
    captions = {name for name in texts & folder.sidecars.keys() if not called.isdisjoint(describes(name))}
    for name in texts - captions:
        folder.sidecars.pop(name, None)
    folder.media = [file for file in folder.media if bare(file.path) not in captions]
