"""Whatever text a cell holds, an upload says it, and a result is read as it is."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from dovetail.connectors.salesforce.table import cells_of, columns_of, rows_in, table_of, typed

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    ["\r", "\n", "\r\n", '"', '""', ",", " a ", "\t", "#N/A", "=1+1", "\ufeff", "a\rb", "\x85"]
)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["Id", "A__c", "B__c"]), TEXTS | st.none(), min_size=1),
    min_size=1,
    max_size=6,
)


@given(ROWS)
def test_a_table_is_read_as_it_was_written(rows):
    columns = columns_of(rows)
    whole = [dict.fromkeys(columns, "") | cells_of(row) for row in rows]
    # A line without anything in it is no row: an upload always has an id or a value.
    whole = [row for row in whole if len(columns) > 1 or row[columns[0]]]

    assert rows_in(table_of(rows), "read") == whole


def test_values_are_those_of_json():
    kinds = {
        "Amount": "currency",
        "Score": "double",
        "Seats": "int",
        "Open": "boolean",
        "At": "datetime",
        "Day": "date",
        "Name": "string",
        "Gone": "double",
    }
    row = {
        "Amount": "1234567890123456.78",
        "Score": "1.0E-5",
        "Seats": "12.0",
        "Open": "true",
        "At": "2026-03-01T15:04:05.000Z",
        "Day": "2026-03-01",
        "Name": "0012",
        "Gone": "",
        "New__c": "12",
    }

    assert typed(row, kinds) == {
        "Amount": Decimal("1234567890123456.78"),
        "Score": Decimal("0.000010"),
        "Seats": 12,
        "Open": True,
        "At": "2026-03-01T15:04:05.000+0000",
        "Day": "2026-03-01",
        "Name": "0012",
        "Gone": None,
        "New__c": "12",
    }
