{#- What only DuckDB says in its own way. -#}

{#- DuckDB takes A and a for the same, but not É and é. -#}
{% macro duckdb__all_folded(names) %}
  {% set found = [] %}
  {% for name in names %}{% do found.append(name.encode('utf-8').lower().decode('utf-8')) %}{% endfor %}
  {% do return(found) %}
{% endmacro %}

{% macro duckdb__all_texts(values) %}
  {% set found = [] %}
  {% for value in values %}{% do found.append("'" ~ value | replace("'", "''") ~ "'") %}{% endfor %}
  {% do return(found) %}
{% endmacro %}

{% macro duckdb__instant_type() %}
  {%- do return('timestamp') -%}
{% endmacro %}

{% macro duckdb__loosely(value, type) %}
  {%- do return('try_cast(' ~ value ~ ' as ' ~ type ~ ')') -%}
{% endmacro %}

{#- By a temporary table, since DuckDB's MERGE takes half as long again. -#}
{% macro duckdb__change_history(history, changes, how, at, compared, synced) %}
  {% do return([
      'create or replace temporary table changes as ' ~ changes,
      ('update ' ~ history ~ ' as history set dbt_valid_to = ' ~ at ~ ' from changes' if how == 'update'
        else 'delete from ' ~ history ~ ' as history using changes') ~ ' where history.rowid = changes.address',
      'insert into ' ~ history ~ ' (' ~ stored_names(compared, synced) ~ ') select ' ~ new_row(compared, synced)
        ~ ' from changes where is_new']) %}
{% endmacro %}

{#- All by one call, each of which costs dbt more than a small table's statement costs DuckDB; and the rows as DuckDB has them, since
    dbt would guess at the types of what it fetches. -#}
{% macro duckdb__answer_of(statements) %}
  {% set connection, cursor = adapter.add_query(statements | join(';\n'), auto_begin=false) %}
  {% do return(cursor.fetchall()) %}
{% endmacro %}

{#- By one call, too: nobody else can write the file meanwhile, so that the row is entered. Where it is not, or anything else fails,
    dbt closes the connection of the node, and with it the transaction ends. -#}
{% macro duckdb__transact(statements) %}
  {% do send([(['begin'] + statements + ['commit']) | join(';\n')]) %}
  {% do return(true) %}
{% endmacro %}

{% macro duckdb__if_none_since(entries) %}
  {%- do return("case when " ~ entries ~ " = 0 then true else error('found the table folded by somebody else meanwhile, expected to be alone with it: run the date again') end") -%}
{% endmacro %}

{% macro duckdb__address() %}
  {%- do return('rowid') -%}
{% endmacro %}

{% macro duckdb__give_addresses(history) %}
  {% do return([]) %}
{% endmacro %}

{% macro duckdb__changed_table() %}
  {%- do return('changed_values') -%}
{% endmacro %}

{#- dbt closes a connection whose node failed, and DuckDB rolls back with it. -#}
{% macro duckdb__current_transaction() %}
  {%- do return('null') -%}
{% endmacro %}

{#- The catalog of histories is read once a night, since DuckDB walks all of every attached file each time; nobody else can change
    it, as this process holds the file, and each table's columns are changed by its own node alone. -#}
{% macro duckdb__begin_night(run) %}
  {% do run_query("attach if not exists ':memory:' as catalog_of_run") %}
  {% do run_query('
    create or replace table catalog_of_run.columns as
    select schema_name, table_name, column_name, data_type, column_index from duckdb_columns()
    where database_name = ' ~ text(target.database)) %}
{% endmacro %}

{#- A clone is a file, attached from its schema's first table on, and let go of after the last (history_assets/dbt_clones.py), by a
    name that no other database has, nor that of another night. -#}
{% macro duckdb__opening(relation, run) %}
  {% do return(['attach if not exists ' ~ text(run.location) ~ ' as ' ~ quoted(run.clone_database) ~ ' (read_only)']) %}
{% endmacro %}

{% macro duckdb__clone_of(relation, run) %}
  {% set name = 'clone of ' ~ relation.schema ~ ' on ' ~ run['clone_date'] %}
  {% do return(api.Relation.create(database=name, schema='main', identifier=relation.identifier)) %}
{% endmacro %}

{% macro duckdb__history_columns(relation) %}
  {% do return(
      "select 'history' as fact, column_index as position, column_name as name, data_type as type from catalog_of_run.columns "
      ~ 'where schema_name = ' ~ text(relation.schema) ~ ' and table_name = ' ~ text(relation.identifier)
      ~ " and column_name not in ('dbt_scd_id', 'dbt_updated_at', 'dbt_valid_from', 'dbt_valid_to')") %}
{% endmacro %}

{% macro duckdb__families_of(types) %}
  {% set integers = signed_integers() + unsigned_integers() %}
  {% set found = [] %}
  {% for type in types %}
    {% if type in integers %}{% do found.append('INTEGER') %}
    {% elif type in ['FLOAT', 'DOUBLE'] %}{% do found.append('DOUBLE') %}
    {% elif type.startswith('DECIMAL(') %}{% do found.append('DECIMAL_' ~ type[:-1].split(',')[1]) %}
    {% else %}{% do found.append('VARCHAR' if type.startswith('ENUM(') else type) %}
    {% endif %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}

{% macro duckdb__stored_types(types) %}
  {% set found = [] %}
  {% for type in types %}{% do found.append('VARCHAR' if type.startswith('ENUM(') else type) %}{% endfor %}
  {% do return(found) %}
{% endmacro %}

{% macro signed_integers() %}
  {% do return(['TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT']) %}
{% endmacro %}

{% macro unsigned_integers() %}
  {% do return(['UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT']) %}
{% endmacro %}

{% macro duckdb__wider_type(one, other) %}
  {% set family = families_of([one])[0] %}
  {% if family.startswith('DECIMAL_') %}
    {% set precisions = [one[8:].split(',')[0] | int, other[8:].split(',')[0] | int] %}
    {% do return('DECIMAL(' ~ precisions | max ~ ',' ~ family[8:] ~ ')') %}
  {% elif family != 'INTEGER' %}
    {% do return(family) %}
  {% endif %}
  {% set signed, unsigned = signed_integers(), unsigned_integers() %}
  {% if one in unsigned and other in unsigned %}
    {% do return(unsigned[[unsigned.index(one), unsigned.index(other)] | max]) %}
  {% endif %}
  {% set ranks = [] %}
  {% for type in (one, other) %}{% do ranks.append(signed.index(type) if type in signed else unsigned.index(type) + 1) %}{% endfor %}
  {% do return(signed[ranks | max]) %}
{% endmacro %}

{% macro duckdb__all_written(values, types) %}
  {% set found = [] %}
  {% for value in values %}
    {% do found.append('cast(' ~ ('cast(' ~ value ~ ' as double)' if types[loop.index0] == 'FLOAT' else value) ~ ' as varchar)') %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}

{% macro duckdb__digest(expression) %}
  {%- do return('sha256(' ~ expression ~ ')') -%}
{% endmacro %}

{% macro duckdb__each_copy(levels) %}
  {%- do return('select value_id, unnest(range(1, cast(copies as bigint) + 1)) as copy, valid_from, valid_to from ' ~ levels) -%}
{% endmacro %}

{#- dbt-duckdb's own does not double a quote inside a name. -#}
{% macro duckdb__create_schema(relation) %}
  {% do run_query('create schema if not exists ' ~ quoted(relation.database) ~ '.' ~ quoted(relation.schema)) %}
{% endmacro %}
