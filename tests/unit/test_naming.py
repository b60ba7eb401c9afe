"""Names survive the way into dbt, Dagster and SQL, and no two of them meet."""

import re

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from history_assets.naming import LONGEST_ENCODED, decode, encode, history_key, quote, refusal, snapshot_name

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
TRICKY = st.text(st.sampled_from("ab_x5f-."), min_size=1, max_size=12)


@given(NAMES | TRICKY)
@example("a_x5f_b")
@example("__")
@example("_x")
def test_encoding_is_undone_by_decoding(name: str) -> None:
    assert decode(encode(name)) == name


@given(NAMES | TRICKY)
def test_encoded_names_are_ascii_words(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_]+", encode(name))


@given(TRICKY, TRICKY, TRICKY, TRICKY)
@example("a_", "b", "a", "_b")
@example("a", "b__c", "a__b", "c")
def test_two_tables_never_share_a_snapshot(schema: str, table: str, other_schema: str, other_table: str) -> None:
    same = (schema, table) == (other_schema, other_table)

    assert (snapshot_name(schema, table) == snapshot_name(other_schema, other_table)) == same
    assert (history_key(schema, table) == history_key(other_schema, other_table)) == same


@pytest.mark.parametrize("name", ["opportunity_line_item", "account", "ACCOUNT", "sla_policy_2"])
def test_usual_names_stay_as_they_are(name: str) -> None:
    assert encode(name) == name


@given(NAMES)
def test_quoted_names_are_taken_literally_by_sql(name: str) -> None:
    found = duckdb.execute(f"select 1 as {quote(name)}").description

    assert found is not None
    assert found[0][0] == name


def test_a_name_too_long_for_dbts_files_is_refused_by_its_length() -> None:
    assert refusal("s", "t" * (LONGEST_ENCODED - 3)) is None
    assert f"{LONGEST_ENCODED + 1} characters" in str(refusal("s", "t" * (LONGEST_ENCODED - 2)))


@pytest.mark.parametrize("name", ["{{ target }}", "{% raw %}", "{# note #}"])
def test_a_name_that_dbt_would_render_is_refused(name: str) -> None:
    assert "Jinja" in str(refusal("s", name))
    assert "Jinja" in str(refusal(name, "t"))


@pytest.mark.parametrize("name", [" account", "account ", "\taccount", "account\n", "\u2003account"])
def test_a_name_that_dbt_would_strip_is_refused(name: str) -> None:
    """It would be its neighbour's, and dbt would refuse both, and every other table with them."""
    assert "white space" in str(refusal("s", name))
    assert "white space" in str(refusal(name, "t"))
