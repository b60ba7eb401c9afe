"""A Snowflake account in one process, for tests: what the real connector and the real dbt-snowflake talk to over HTTP.

Statements are translated by sqlglot to DuckDB; what DuckDB has no word for (schema clones, Time Travel, SHOW, roles,
warehouses) is done here. What it cannot do it refuses with error 009999, never by doing something else.
"""
