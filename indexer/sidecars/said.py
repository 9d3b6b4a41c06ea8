"""What a sidecar says of one file."""

from dataclasses import dataclass, field

from engine.config import CaptionSettings
from engine.media import Facts
from engine.media.values import one_line

NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class CaptionText:
    """One caption: its words, language code and where it was read from.

    source: txt, json, xmp sidecar, captions.jsonl, captions.csv, captions.parquet or img2dataset.
    """

    text: str
    lang: str
    source: str


@dataclass(slots=True)
class Captions:
    """What the sidecars say of one file. split: train, val or test, or an unknown one as it was written.

    facts: of what they say alone, the keywords among them. source: of the first keywords. by_name: whether a table
    names the file by its own path; followed: whether one does by the path at which it lay before.
    """

    texts: list[CaptionText] = field(default_factory=list)
    split: str | None = None
    facts: Facts = NO_FACTS
    source: str = ""
    by_name: bool = False
    followed: bool = False

    @property
    def keywords(self) -> list[str]:
        """The keywords, without repeats."""
        return list(self.facts.keywords)

    def add(self, more: "Captions") -> None:
        """Take in what another sidecar says: further captions, and facts where nothing was said yet."""
        self.texts += more.texts
        self.split = self.split or more.split
        if more.facts is not NO_FACTS:
            self.facts = self.facts.over(more.facts)
        self.source = self.source or more.source
        self.by_name = self.by_name or more.by_name
        self.followed = self.followed or more.followed

    def finish(self, settings: CaptionSettings) -> None:
        """Keep as many captions as the settings say, each once; one of the keywords when there are no others."""
        once: dict[tuple[str, str], CaptionText] = {}
        for each in self.texts:
            once.setdefault((each.text, each.lang), each)
        self.texts = list(once.values())[: settings.max_per_item]
        if not self.texts and self.facts.keywords:
            words = one_line(", ".join(self.facts.keywords), settings.max_characters)
            self.texts = [CaptionText(words, settings.languages[0], self.source)]
