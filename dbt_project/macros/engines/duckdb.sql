{#- What only DuckDB says in its own way. -#}

{#- A clone is a file, attached under its schema's name with a prefix that no other database has. -#}
{% macro open_clones() %}
  {% for schema, clone in current_run()['schemas'].items() %}
    {% do run_query('attach or replace ' ~ text(clone['location']) ~ ' as ' ~ quoted('clone of ' ~ schema) ~ ' (read_only)') %}
  {% endfor %}
{% endmacro %}

{% macro clone_relation(relation) %}
  {% do return(api.Relation.create(database='clone of ' ~ relation.schema, schema='main', identifier=relation.identifier)) %}
{% endmacro %}

{#- The clone of the table whose history this is; both bear the same schema and table name. -#}
{% macro clone_table(relation) %}
  {% do return(history_table(clone_relation(relation))) %}
{% endmacro %}

{% macro columns_of_clone(relation) %}
  {% do return(columns_in(clone_relation(relation))) %}
{% endmacro %}

{% macro columns_of_history(relation) %}
  {% set columns = [] %}
  {% for column in columns_in(relation) if column.name not in ['dbt_scd_id', 'dbt_updated_at', 'dbt_valid_from', 'dbt_valid_to'] %}
    {% do columns.append(column) %}
  {% endfor %}
  {% do return(columns) %}
{% endmacro %}

{% macro columns_in(relation) %}
  {% set found = run_query('
    select column_name, data_type from duckdb_columns()
    where database_name = ' ~ text(relation.database) ~ ' and schema_name = ' ~ text(relation.schema) ~ '
      and table_name = ' ~ text(relation.identifier) ~ ' order by column_index') %}
  {% set columns = [] %}
  {% for row in found.rows %}{% do columns.append({'name': row[0], 'type': row[1]}) %}{% endfor %}
  {% do return(columns) %}
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
