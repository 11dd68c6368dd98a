"""The bundled list of given names."""

import re
from pathlib import Path

import course_lib.corpora.names as names_module
from course_lib.corpora.names import given_names


def test_each_line_is_a_plain_name() -> None:
    names = given_names()
    assert [name for name in names if not re.fullmatch("[a-z]{2,15}", name)] == []
    assert names == sorted(set(names))
    assert 2000 <= len(names) <= 4000


def test_every_letter_is_there_so_that_the_model_has_its_27_tokens() -> None:
    assert set("".join(given_names())) == set("abcdefghijklmnopqrstuvwxyz")


def test_many_languages_are_there() -> None:
    some = "maria james aoife dafydd pierre lucia giulia heinrich sanne astrid olga mehmet fatima sarah shirin priya"
    more = "wei haruto minjun linh somchai siti kwame chinedu adebayo wanjiru abebe sipho leilani"
    assert set(f"{some} {more}".split()) <= set(given_names())


def test_the_list_says_where_it_comes_from() -> None:
    page = (Path(names_module.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert f"{len(given_names())} given names" in page
    assert "| from |" in page
    assert "| license | MIT" in page
