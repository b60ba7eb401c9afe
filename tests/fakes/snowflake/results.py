"""Results: as statements give them, and as the protocol sends them.

SELECT answers in Arrow, with Snowflake's own encodings of numbers and timestamps; everything else in rows of JSON texts.
"""

import base64
import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tests.fakes.snowflake.types import BOOLEAN, INSTANT, INTEGER, TEXT, Type

SELECT, DDL, SHOW, INSERT, UPDATE, DELETE, MERGE = 0x1000, 0x6000, 0x4000, 0x3100, 0x3200, 0x3300, 0x3400


@dataclass
class Result:
    """Columns and rows; ``table`` in place of ``rows`` for what a query read."""

    columns: list[tuple[str, Type]]
    rows: list[Sequence[Any]] = field(default_factory=list)
    statement_type: int = DDL
    table: pa.Table | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the part of a response that holds the result."""
        answer = {
            "rowtype": [kind.row_type(name) for name, kind in self.columns],
            "total": len(self.rows) if self.table is None else self.table.num_rows,
            "returned": len(self.rows) if self.table is None else self.table.num_rows,
            "statementTypeId": self.statement_type,
        }
        if self.table is None:
            kinds = [kind for _, kind in self.columns]
            rows = [[_json_value(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in self.rows]
            return answer | {"queryResultFormat": "json", "rowset": rows}
        return answer | {"queryResultFormat": "arrow", "rowsetBase64": _arrow(self.table, self.columns)}


DONE = "Statement executed successfully."


def status(message: str) -> Result:
    return Result([("status", TEXT)], [[message]])


def counts(statement_type: int, **numbers: int) -> Result:
    """Return what a DML statement did; keywords say ``inserted``, ``updated``, ``deleted``."""
    columns = [(f"number of rows {what}", INTEGER) for what in numbers]
    values = list(numbers.values())
    if statement_type == UPDATE:
        columns.append(("number of multi-joined rows updated", INTEGER))
        values.append(0)
    return Result(columns, [values], statement_type)


def shown(columns: dict[str, Type], rows: list[dict[str, Any]]) -> Result:
    """Return what a SHOW command lists; what a row does not say is NULL."""
    return Result(list(columns.items()), [[row.get(name) for name in columns] for row in rows], SHOW)


def columns_of(names: str, instants: str = "created_on", numbers: str = "rows bytes key_sequence") -> dict[str, Type]:
    """Return the columns of a SHOW command, by name."""
    typed = dict.fromkeys(names.split(), TEXT)
    for name in typed:
        if name in instants.split():
            typed[name] = INSTANT
        elif name in numbers.split():
            typed[name] = INTEGER
    return typed


def _json_value(value: Any, kind: Type) -> str | None:
    if value is None:
        return None
    if kind == BOOLEAN:
        return "1" if value else "0"
    if isinstance(value, dt.datetime):
        return f"{value.timestamp():.{kind.scale or 0}f}"
    if isinstance(value, bytes):
        return value.hex().upper()
    return str(value)


def _arrow(table: pa.Table, columns: list[tuple[str, Type]]) -> str:
    if not table.num_rows:
        return ""
    arrays, fields = [], []
    for column, (name, kind) in zip(table.columns, columns, strict=True):
        array = _encoded(column.combine_chunks(), kind)
        facts = {"logicalType": kind.wire, "precision": str(kind.precision or 38), "scale": str(kind.scale or 0)}
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=facts | {"charLength": str(kind.length or 0)}))
    sink = pa.BufferOutputStream()
    batch = pa.record_batch(arrays, schema=pa.schema(fields))
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return base64.b64encode(sink.getvalue()).decode()


def _encoded(array: pa.Array, kind: Type) -> pa.Array:
    """Return a column as Snowflake sends it: numbers beside their scale, timestamps as seconds and fractions."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_nested(array.type):
        return pa.array(
            [None if value is None else json.dumps(value, default=_plain) for value in array.to_pylist()], pa.string()
        )
    if kind.name == "NUMBER":
        return _number(array, kind)
    if kind.name.startswith("TIMESTAMP"):
        return _timestamp(array, kind)
    if kind.name == "TIME":
        return pc.multiply(array.cast(pa.int64()), 1000)
    target = {"FLOAT": pa.float64(), "BOOLEAN": pa.bool_(), "DATE": pa.date32(), "BINARY": pa.binary()}.get(
        kind.name, pa.string()
    )
    return array.cast(target)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def _number(array: pa.Array, kind: Type) -> pa.Array:
    """Snowflake sends the narrowest integers that hold a column's values, and decimals only where none does."""
    wide = array.cast(pa.decimal128(38, kind.scale))
    try:
        if not kind.scale:
            return wide.cast(pa.int64())
        values = [None if value is None else int(value.scaleb(kind.scale)) for value in wide.to_pylist()]
        return pa.array(values, pa.int64())
    except (pa.ArrowInvalid, OverflowError):
        return wide


def _timestamp(array: pa.Array, kind: Type) -> pa.Array:
    micros = array.cast(pa.timestamp("us", array.type.tz)).cast(pa.int64())
    values = micros.to_pylist()
    missing = pa.array([value is None for value in values], pa.bool_())
    seconds = pa.array([(value or 0) // 1_000_000 for value in values], pa.int64())
    fractions = pa.array([(value or 0) % 1_000_000 * 1000 for value in values], pa.int32())
    parts, fields = [seconds, fractions], [pa.field("epoch", pa.int64()), pa.field("fraction", pa.int32())]
    if kind.name == "TIMESTAMP_TZ":
        parts.append(pa.array([1440] * len(values), pa.int32()))
        fields.append(pa.field("timezone", pa.int32()))
    return pa.StructArray.from_arrays(parts, fields=fields, mask=missing)
