"""The grammar of numbers that stand as text, against a table of what they mean."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.data.reading.missing import MARKS, missing_sql
from descend.data.reading.number_text import COMMA, DURATION, PLAINLY, POINT, number_text_sql

CONNECTION = duckdb.connect()


def read(text: str, written: str) -> float | None:
    sql = f"SELECT {number_text_sql('value', written)} FROM (SELECT ? AS value)"
    row = CONNECTION.execute(sql, [text]).fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("5", 5, 5),
        ("+5", 5, 5),
        ("−5", -5, -5),
        ("5.", 5, None),
        (".5", 0.5, None),
        (",5", None, 0.5),
        ("1e-05", 1e-5, 1e-5),
        ("1,234", 1234, 1.234),
        ("1.234", 1.234, 1234),
        ("1,234.50", 1234.5, None),
        ("1.234,50", None, 1234.5),
        ("1,234,567", 1234567, None),
        ("1.234.567", None, 1234567),
        ("1 234,5", None, 1234.5),
        ("1\u00a0234.5", 1234.5, None),
        ("1\u202f234\u202f567", 1234567, 1234567),
        ("1'234.5", 1234.5, None),
        ("$1,234.50", 1234.5, None),
        ("€ 5", 5, 5),
        ("5 €", 5, 5),
        ("1.234,50 €", None, 1234.5),
        ("12 USD", 12, 12),
        ("-$5", -5, -5),
        ("–5", -5, -5),
        ("－5.5", -5.5, None),
        ("$(1,234.50)", -1234.5, None),
        ("€ (5)", -5, -5),
        ("\u200e5\ufeff", 5, 5),
        *((text, None, None) for text in ("$(5", "($(5))", "10–20")),
        ("$-5", -5, -5),
        ("(123)", -123, -123),
        ("($1,234.50)", -1234.5, None),
        ("12.3%", 12.3, None),
        ("12,3 %", None, 12.3),
        ("$1.2k", 1200, None),
        *(("1.5D+03", 1500, None), ("-.25d-02", -0.0025, None), ("1D+3", None, None)),
        *(("1,234.50 CR", 1234.5, None), ("1.234,50DR", None, -1234.5), ("5.00 Dr", -5, None)),
        *((text, None, None) for text in ("-5.00 DR", "(5.00) CR", "$5.00 CR", "CR", "5.00 DRX")),
        ("€3 Mio", 3e6, 3e6),
        ("US$ 3.5bn", 3.5e9, None),
        ("  7\u00a0", 7, 7),
        ("1,10,100", 110_100, None),
        ("₹ 12,34,567.50", 1_234_567.5, None),
        ("3.50-", -3.5, None),
        ("1.234,50-", None, -1234.5),
        ("$5.00-", -5, None),
        *((text, None, None) for text in ("1,10,10", "1,1,100", "5-6", "2-", "3+", "(5.0-)")),
        *((text, None, None) for text in ("-5.0-", "+5.0-", "5.0--", "5.0- €")),
        # A code or a word is no number.
        *((text, None, None) for text in ("", "abc", "1_12", "5kg", "12M", "1.2k", "1,2,3")),
        *((text, None, None) for text in ("12,34.5", "(5", "5)", "1 23", "--5", "5 5", "€", "%")),
    ],
)
def test_a_number_as_text(text: str, point: float | None, comma: float | None) -> None:
    assert read(text, POINT) == pytest.approx(point)
    assert read(text, COMMA) == pytest.approx(comma)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("25:10:00", 90_600), ("1 days 02:03:04", 93_784), ("0:30", 1800), ("-1:00", -3600)),
        *(("PT1H", 3600), ("PT1H30M", 5400), ("P1DT2H3M4.5S", 93_784.5), ("P2W", 1_209_600)),
        # As Java, .NET, XML and pandas write them.
        *(("PT-6H-3M", -21_780), ("-PT6H", -21_600), ("PT1,5S", 1.5), ("P0DT0H0M0S", 0)),
        # As Python and pandas write timedelta(seconds=-60).
        *(("2 days, 3:04:05", 183_845), ("-1 day, 23:59:00", -60), ("-1 days +23:59:00", -60)),
    ],
)
def test_a_duration_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert read(text, DURATION) == seconds
    for other in ("soon", "P", "PT", "P1Y", "P2M", "PT1D", "PT1S2H", "1x", "PT1.H"):
        assert read(other, DURATION) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_writes_is_read_back(number: float) -> None:
    for written in (PLAINLY, POINT):
        assert read(repr(number), written) == number


@pytest.mark.slow
@given(
    st.integers(-(10**12), 10**12),
    st.integers(0, 99),
    st.sampled_from([",", " ", "\u00a0", "'"]),
    st.sampled_from(["", "$", "€ ", "CHF "]),
)
def test_groups_of_digits(whole: int, cents: int, gap: str, currency: str) -> None:
    digits = f"{abs(whole):,}".replace(",", gap)
    sign = "-" if whole < 0 else ""
    value = (abs(whole) + cents / 100) * (-1 if whole < 0 else 1)
    assert read(f"{sign}{currency}{digits}.{cents:02}", POINT) == pytest.approx(value, rel=1e-12)
    if gap != "'":
        swapped = digits.replace(",", ".")
        text = f"{sign}{currency}{swapped},{cents:02}"
        assert read(text, COMMA) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("mark", sorted(MARKS))
def test_a_mark_is_missing_in_any_letter_case(mark: str) -> None:
    for text in (mark, mark.upper()):
        sql = f"SELECT {missing_sql('value', (), marks=True)} FROM (SELECT ? AS value)"
        assert CONNECTION.execute(sql, [text]).fetchone() == (True,)
