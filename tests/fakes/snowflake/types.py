"""Types: Snowflake's, as its commands and its protocol spell them, and the DuckDB types that hold their values."""

import json
import re
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

TEXT_LENGTH = 16_777_216
BINARY_LENGTH = 8_388_608
_PLAIN = {"FLOAT": "DOUBLE", "VARIANT": "JSON", "OBJECT": "JSON", "ARRAY": "JSON", "BINARY": "BLOB", "TEXT": "VARCHAR"}
_TIMES = {"TIMESTAMP_NTZ": "TIMESTAMP", "TIMESTAMP_TZ": "TIMESTAMPTZ", "TIMESTAMP_LTZ": "TIMESTAMPTZ"}
_INTEGERS = ("INT", "BIGINT", "SMALLINT", "TINYINT", "HUGEINT", "INTEGER", "UBIGINT", "UINTEGER", "INT128", "MEDIUMINT")


@dataclass(frozen=True)
class Type:
    """A Snowflake type; ``name`` is what INFORMATION_SCHEMA calls it."""

    name: str
    precision: int | None = None
    scale: int | None = None
    length: int | None = None

    @property
    def duckdb(self) -> str:
        if self.name == "NUMBER":
            return f"DECIMAL({self.precision}, {self.scale})"
        return _TIMES.get(self.name) or _PLAIN.get(self.name, self.name)

    @property
    def sql(self) -> str:
        """As DESCRIBE TABLE writes it."""
        if self.name == "NUMBER":
            return f"NUMBER({self.precision},{self.scale})"
        if self.name == "TEXT":
            return f"VARCHAR({self.length})"
        if self.name == "BINARY":
            return f"BINARY({self.length})"
        return f"{self.name}({self.scale})" if self.name.startswith("TIME") else self.name

    @property
    def wire(self) -> str:
        """As the protocol's row types and SHOW COLUMNS name it."""
        return {"NUMBER": "FIXED", "FLOAT": "REAL"}.get(self.name, self.name)

    def as_json(self, nullable: bool) -> str:
        """As SHOW COLUMNS writes it."""
        facts: dict[str, Any] = {"type": self.wire}
        if self.name == "NUMBER" or self.name.startswith("TIME"):
            facts |= {"precision": self.precision or 0, "scale": self.scale}
        elif self.length:
            facts |= {"length": self.length, "byteLength": self.length}
        facts["nullable"] = nullable
        if self.length:
            facts["fixed"] = self.name == "BINARY"
        return json.dumps(facts, separators=(",", ":"))

    def row_type(self, name: str) -> dict[str, Any]:
        """As a result describes one of its columns."""
        return {
            "name": name,
            "database": "",
            "schema": "",
            "table": "",
            "nullable": True,
            "type": self.wire.lower(),
            "precision": self.precision if self.name == "NUMBER" else 0 if self.name.startswith("TIME") else None,
            "scale": self.scale,
            "length": self.length,
            "byteLength": self.length,
            "collation": None,
        }


TEXT = Type("TEXT", length=TEXT_LENGTH)
INTEGER = Type("NUMBER", 38, 0)
BOOLEAN = Type("BOOLEAN")
INSTANT = Type("TIMESTAMP_LTZ", scale=3)


def of_duckdb(duckdb_type: str) -> Type:
    """Return the Snowflake type whose values a DuckDB type holds."""
    if duckdb_type.endswith("[]"):
        return Type("ARRAY")
    if found := re.fullmatch(r"DECIMAL\((\d+), ?(\d+)\)", duckdb_type):
        return Type("NUMBER", int(found[1]), int(found[2]))
    if duckdb_type.endswith("INT") or duckdb_type.startswith("INTEGER") or duckdb_type in _INTEGERS:
        return INTEGER
    if duckdb_type in ("DOUBLE", "FLOAT"):
        return Type("FLOAT")
    if duckdb_type in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ"):
        return Type("TIMESTAMP_TZ", scale=9)
    if duckdb_type.startswith("TIMESTAMP"):
        return Type("TIMESTAMP_NTZ", scale=9)
    if duckdb_type == "TIME":
        return Type("TIME", scale=9)
    if duckdb_type == "BLOB":
        return Type("BINARY", length=BINARY_LENGTH)
    if duckdb_type in ("BOOLEAN", "DATE"):
        return Type(duckdb_type)
    if duckdb_type.startswith(("STRUCT", "MAP")):
        return Type("OBJECT")
    return Type("VARIANT") if duckdb_type == "JSON" else TEXT


def of_snowflake(declared: exp.DataType) -> Type:
    """Return a type as a column definition or a cast declares it."""
    kind = declared.this.name if isinstance(declared.this, exp.DataType.Type) else str(declared.this)
    sizes = [int(size.name) for size in declared.expressions if isinstance(size, exp.DataTypeParam) and size.name.isdigit()]
    if kind in _INTEGERS:
        return INTEGER
    if kind in ("DECIMAL", "BIGDECIMAL"):
        return Type("NUMBER", sizes[0] if sizes else 38, sizes[1] if len(sizes) > 1 else 0)
    if kind in ("DOUBLE", "FLOAT"):
        return Type("FLOAT")
    if kind in ("VARCHAR", "TEXT", "CHAR", "NCHAR", "NVARCHAR"):
        return Type("TEXT", length=sizes[0] if sizes else 1 if kind == "CHAR" else TEXT_LENGTH)
    if kind in ("BINARY", "VARBINARY", "BLOB"):
        return Type("BINARY", length=sizes[0] if sizes else BINARY_LENGTH)
    if kind in ("TIMESTAMPTZ", "TIMESTAMPLTZ"):
        return Type("TIMESTAMP_TZ" if kind == "TIMESTAMPTZ" else "TIMESTAMP_LTZ", scale=sizes[0] if sizes else 9)
    if kind in ("TIMESTAMP", "TIMESTAMPNTZ", "DATETIME"):
        return Type("TIMESTAMP_NTZ", scale=sizes[0] if sizes else 9)
    if kind == "TIME":
        return Type("TIME", scale=9)
    return Type({"JSON": "VARIANT", "STRUCT": "OBJECT"}.get(kind, kind))
