{#- What only DuckDB says in its own way. -#}

{#- A clone is a file, attached under its schema's name with a prefix that no other database has. The catalogs are read once a
    run, since DuckDB walks all of every attached file each time; nobody else can change them, as this process holds the file,
    and each table's columns are changed by its own node alone. -#}
{% macro open_clones() %}
  {% for schema, clone in current_run()['schemas'].items() %}
    {% do run_query('attach or replace ' ~ text(clone['location']) ~ ' as ' ~ quoted('clone of ' ~ schema) ~ ' (read_only)') %}
  {% endfor %}
  {% do run_query("attach if not exists ':memory:' as catalog_of_run") %}
  {% do run_query('
    create or replace table catalog_of_run.columns as
    select database_name, schema_name, table_name, column_name, data_type, column_index from duckdb_columns() where not internal') %}
  {% do run_query("
    create or replace table catalog_of_run.keys as
    select database_name, schema_name, table_name, constraint_column_names from duckdb_constraints()
    where constraint_type = 'PRIMARY KEY'") %}
{% endmacro %}

{% macro clone_relation(relation) %}
  {% do return(api.Relation.create(database='clone of ' ~ relation.schema, schema='main', identifier=relation.identifier)) %}
{% endmacro %}

{#- The clone of the table whose history this is; both bear the same schema and table name. -#}
{% macro clone_table(relation) %}
  {% do return(history_table(clone_relation(relation))) %}
{% endmacro %}

{#- All that is to be known before a fold, in one statement: the columns of clone and history, the declared key, and where the
    night stands in the ledger. -#}
{% macro facts_of(relation) %}
  {% set applied = 'from ' ~ ledger() ~ ' where ' ~ of_table(relation) ~ " and status = 'applied' and cutoff " %}
  {% set at = cutoff_of_run() %}
  {% set found = run_query("
    select 'clone' as fact, column_index as position, column_name as name, data_type as value
    from catalog_of_run.columns where " ~ in_catalog(clone_relation(relation)) ~ "
    union all
    select 'history', column_index, column_name, data_type
    from catalog_of_run.columns where " ~ in_catalog(relation) ~ "
      and column_name not in ('dbt_scd_id', 'dbt_updated_at', 'dbt_valid_from', 'dbt_valid_to')
    union all
    select 'key', generate_subscripts(constraint_column_names, 1), unnest(constraint_column_names), null
    from catalog_of_run.keys where " ~ in_catalog(clone_relation(relation)) ~ "
    union all
    select 'applied', 0, max(clone_id), null " ~ applied ~ '= ' ~ at ~ "
    union all
    select 'next', 0, cast(min(cutoff) as varchar), null " ~ applied ~ '> ' ~ at ~ "
    union all
    select 'before', count(*), null, cast(coalesce(arg_max(row_count, cutoff), 0) as varchar) " ~ applied ~ '< ' ~ at ~ '
    order by 1, 2') %}
  {% set facts = namespace(clone=[], history=[], key=[], applied=none, next_cutoff=none, previous_rows=0) %}
  {% for row in found.rows %}
    {% if row[0] == 'key' %}{% do facts.key.append(row[2]) %}
    {% elif row[0] == 'applied' %}{% set facts.applied = row[2] %}
    {% elif row[0] == 'next' %}{% set facts.next_cutoff = row[2] %}
    {% elif row[0] == 'before' %}
      {% set facts.previous_rows = row[3] | int %}
      {% set facts.is_first = row[1] == 0 %}
    {% else %}{% do facts[row[0]].append({'name': row[2], 'type': row[3]}) %}
    {% endif %}
  {% endfor %}
  {% set facts.is_newest = not facts.next_cutoff and not facts.applied %}
  {% do return(facts) %}
{% endmacro %}

{% macro in_catalog(relation) %}
  {% do return(
      'database_name = ' ~ text(relation.database) ~ ' and schema_name = ' ~ text(relation.schema)
      ~ ' and table_name = ' ~ text(relation.identifier)) %}
{% endmacro %}

{#- Families of types: within one, each type's values are exactly values of the wider type. -#}
{% macro family_of(type) %}
  {% if type in signed_integers() or type in unsigned_integers() %}{% do return('INTEGER') %}
  {% elif type in ['FLOAT', 'DOUBLE'] %}{% do return('DOUBLE') %}
  {% elif type.startswith('DECIMAL(') %}{% do return('DECIMAL_' ~ type[:-1].split(',')[1]) %}
  {% elif type.startswith('ENUM(') %}{% do return('VARCHAR') %}
  {% endif %}
  {% do return(type) %}
{% endmacro %}

{% macro signed_integers() %}
  {% do return(['TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT']) %}
{% endmacro %}

{% macro unsigned_integers() %}
  {% do return(['UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT']) %}
{% endmacro %}

{#- The narrowest type of the family that holds the values of two of its types. -#}
{% macro wider_type(one, other) %}
  {% if one == other %}{% do return(one) %}{% endif %}
  {% set family = family_of(one) %}
  {% if family.startswith('DECIMAL_') %}
    {% set precisions = [one[8:].split(',')[0] | int, other[8:].split(',')[0] | int] %}
    {% do return('DECIMAL(' ~ precisions | max ~ ',' ~ family[8:] ~ ')') %}
  {% elif family != 'INTEGER' %}
    {% do return(family) %}
  {% endif %}
  {% set signed = signed_integers() %}
  {% set unsigned = unsigned_integers() %}
  {% if one in unsigned and other in unsigned %}
    {% do return(unsigned[[unsigned.index(one), unsigned.index(other)] | max]) %}
  {% endif %}
  {% set ranks = [] %}
  {% for type in (one, other) %}{% do ranks.append(signed.index(type) if type in signed else unsigned.index(type) + 1) %}{% endfor %}
  {% do return(signed[ranks | max]) %}
{% endmacro %}

{#- The type in which the history stores a source's type. -#}
{% macro stored_type(type) %}
  {% do return('VARCHAR' if type.startswith('ENUM(') else type) %}
{% endmacro %}

{#- A value as text, the same for every type of its family. -#}
{% macro written(value, type) %}
  {% do return('cast(' ~ ('cast(' ~ value ~ ' as double)' if type == 'FLOAT' else value) ~ ' as varchar)') %}
{% endmacro %}

{% macro numbers_up_to(largest) %}
  {%- do return('(select unnest(range(1, ' ~ largest ~ '::bigint + 1)) as number)') -%}
{% endmacro %}

{% macro digest(expression) %}
  {%- do return('sha256(' ~ expression ~ ')') -%}
{% endmacro %}

{#- dbt-duckdb's own does not double a quote inside a name. -#}
{% macro duckdb__create_schema(relation) %}
  {% do run_query('create schema if not exists ' ~ quoted(relation.database) ~ '.' ~ quoted(relation.schema)) %}
{% endmacro %}
