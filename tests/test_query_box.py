"""The query box: every text parses or gives a message, and quoting makes any text literal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.filters import Filters
from engine.likeness import NEGATIVE_WEIGHT, Likeness
from engine.types import Modality, Term
from webui.query_box import MAX_CHARACTERS, BoxQuery, parse, quoted

fragments = st.sampled_from(['"', "-", "path:", "like:", "type:", "boats/**", "12", "text", " ", "a", "é", "\x1f", ":"])


@given(st.text() | st.lists(fragments).map("".join))
def test_any_text_parses_or_is_refused_with_a_message(text: str) -> None:
    try:
        query = parse(text)
    except InvalidInput as error:
        assert str(error)
        return
    assert query.words == " ".join(query.words.split())
    assert all(like.item >= 1 for like in query.likes)
    assert all(term.weight in (1.0, NEGATIVE_WEIGHT) for term in query.terms if term.text)


@given(st.text() | st.lists(fragments).map("".join))
def test_quoted_text_is_literal(text: str) -> None:
    expected = " ".join(text.replace('"', "'").split())
    assert parse(quoted(text)) == BoxQuery(words=expected)


@given(st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1))
def test_plain_words_stay_as_they_are(words: list[str]) -> None:
    text = " ".join(words)
    assert parse(text) == BoxQuery(words=text)
    assert quoted(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red boat -night", BoxQuery("red boat", ("night",))),
        ('boat -"red sail" sea', BoxQuery("boat sea", ("red sail",))),
        ("-fog", BoxQuery("", ("fog",))),
        ("a - b", BoxQuery("a - b")),
        ("--help", BoxQuery("--help")),
        ("well-known", BoxQuery("well-known")),
        ('"-5 degrees"', BoxQuery("-5 degrees")),
        ('"path:x"', BoxQuery("path:x")),
        ('"open phrase', BoxQuery("open phrase")),
        ("boat path:holiday/**", BoxQuery("boat", filters=Filters(path="holiday/**"))),
        ("path:holiday", BoxQuery(filters=Filters(path="*holiday*"))),
        ("path:holiday/", BoxQuery(filters=Filters(path="holiday/**"))),
        ('path:"my holiday/**" boat', BoxQuery("boat", filters=Filters(path="my holiday/**"))),
        ("PATH:a?.png", BoxQuery(filters=Filters(path="a?.png"))),
        ("boat min:0.3", BoxQuery("boat", least=0.3)),
        ("min:,5 MIN", BoxQuery("MIN", least=0.5)),
        ("min:1", BoxQuery(least=1.0)),
        ("like:12 like:7 snow", BoxQuery("snow", likes=(Likeness(12), Likeness(7)))),
        ("like:2:12 boat", BoxQuery("boat", likes=(Likeness(12, 2.0),))),
        ("like:12@10,20,50,40", BoxQuery(likes=(Likeness(12, region=(10, 20, 50, 40)),))),
        ("LIKE:0.5:12@0,0,50,100 -like:2:7", BoxQuery(likes=(Likeness(12, 0.5, (0, 0, 50, 100)), Likeness(7, -1.0)))),
        ("snow -like:7", BoxQuery("snow", likes=(Likeness(7, NEGATIVE_WEIGHT),))),
        ("type:text boat", BoxQuery("boat", modality=Modality.TEXT)),
        ("boat TYPE:Film", BoxQuery("boat", modality=Modality.VIDEO)),
        ("type:sound", BoxQuery(modality=Modality.AUDIO)),
        ("at 12:30 http://a.example/", BoxQuery("at 12:30 http://a.example/")),
        ("", BoxQuery()),
    ],
)
def test_syntax(text: str, expected: BoxQuery) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["path:", "path: boats", "path:a path:b", "-path:a", "type:", "type:smell", "like:", "like:abc", "like:0", "like:٣",
     "like:12@", "like:12@60,0,50,10", "like:x:12", "like:1001:12", "x" * (MAX_CHARACTERS + 1)],
)  # fmt: skip
def test_malformed_filters_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse(text)


def test_terms() -> None:
    assert parse('boat -"red sail" like:3 -like:4').terms == (
        Term(text="boat"),
        Term(text="red sail", weight=NEGATIVE_WEIGHT),
        Term(item=3),
        Term(item=4, weight=NEGATIVE_WEIGHT),
    )
