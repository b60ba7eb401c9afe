{#- The ledger: which clone of which table was folded into its history, written in the transaction that folds it.

    A night that a gate held back has a row with status 'quarantined' beside the row, if any, of the clone that is applied.
    Entries of a table are numbered as they are written. -#}

{% macro ledger() %}
  {%- do return(quoted(target.database) ~ '."_history_assets"."applied"') -%}
{% endmacro %}

{% macro create_ledger() %}
  {% do run_query('create schema if not exists ' ~ quoted(target.database) ~ '."_history_assets"') %}
  {% do run_query('
    create table if not exists ' ~ ledger() ~ ' (
      schema_name varchar not null, table_name varchar not null, entry bigint not null, clone_date date not null,
      clone_id varchar not null, cutoff ' ~ instant_type() ~ ' not null, quiet_point ' ~ instant_type() ~ ' not null,
      row_count bigint not null, opened bigint not null, closed bigint not null, columns varchar not null,
      key_columns varchar not null, duplicate_keys bigint not null, status varchar not null, problem varchar,
      time_zone varchar not null, cutoff_time varchar not null
    )') %}
  {#- Of tables that were not looked at, and what was known of each in raw; a ledger that was begun before lacks them. -#}
  {% for column in ['unchanged boolean', 'source_created ' ~ instant_type(), 'source_altered ' ~ instant_type()] %}
    {% do run_query('alter table ' ~ ledger() ~ ' add column if not exists ' ~ column) %}
  {% endfor %}
{% endmacro %}

{% macro of_table(relation) %}
  {% set texts = all_texts([relation.schema, relation.identifier]) %}
  {%- do return('schema_name = ' ~ texts[0] ~ ' and table_name = ' ~ texts[1]) -%}
{% endmacro %}

{#- Writes one row; where the table has got entries since the facts were read, none, which on DuckDB is an error. -#}
{% macro ledger_row(relation, run, facts, problem, has_history) %}
  {% set columns = [] %}
  {% for column in run.columns %}
    {% do columns.append({'name': column.name, 'type': column.type, 'family': column.family}) %}
  {% endfor %}
  {% set texts = all_texts([
      relation.schema, relation.identifier, run.date, run.clone_id, tojson(columns), tojson(run.key), problem or '',
      run.time_zone, run.cutoff_time]) %}
  {% do return(
      'insert into ' ~ ledger() ~ ' (schema_name, table_name, entry, clone_date, clone_id, cutoff, quiet_point, row_count, '
      ~ 'opened, closed, columns, key_columns, duplicate_keys, status, problem, time_zone, cutoff_time, unchanged, '
      ~ 'source_created, source_altered)\nselect ' ~ [
        texts[0], texts[1], facts.entry + 1, 'cast(' ~ texts[2] ~ ' as date)', texts[3], run.at, instant(run.quiet_point), facts.rows,
        rows_where('dbt_valid_from', run) if has_history else 0, rows_where('dbt_valid_to', run) if has_history else 0,
        texts[4], texts[5], facts.duplicate_keys, "'quarantined'" if problem else "'applied'",
        texts[6] if problem else 'null', texts[7], texts[8], 'false', instant(run.created) if run.created else 'null',
        instant(run.altered) if run.altered else 'null'
      ] | join(', ') ~ '\nfrom (select count(*) as entries from ' ~ ledger() ~ ' where ' ~ of_table(relation) ~ ' and entry > '
      ~ facts.entry ~ ') as since where ' ~ if_none_since('entries')) %}
{% endmacro %}

{% macro if_none_since(entries) %}
  {%- do return(adapter.dispatch('if_none_since', 'history_assets')(entries)) -%}
{% endmacro %}

{% macro default__if_none_since(entries) %}
  {%- do return(entries ~ ' = 0') -%}
{% endmacro %}

{#- An applied night forgets all that the ledger said of the date before; a quarantined one only that it was quarantined. -#}
{% macro forget_ledger_rows(relation, run, facts, problem) %}
  {% do return(
      'delete from ' ~ ledger() ~ ' where ' ~ of_table(relation) ~ ' and cutoff = ' ~ run.at ~ ' and entry <= ' ~ facts.entry
      ~ (" and status = 'quarantined'" if problem else '')) %}
{% endmacro %}

{#- Rows of the history that begin, or end, at this night's cutoff, as the transaction leaves them. -#}
{% macro rows_where(column, run) %}
  {%- do return('(select count(*) from ' ~ run.history ~ ' where ' ~ column ~ ' = ' ~ run.at ~ ')') -%}
{% endmacro %}

{#- Which columns the applied nights had, each set once with the last cutoff that had it, but for this night. -#}
{% macro columns_in_ledger(relation, run) %}
  {% set found = run_query(
      'select columns, cast(max(cutoff) as varchar) as last_cutoff from ' ~ ledger() ~ ' where ' ~ of_table(relation)
      ~ " and status = 'applied' and cutoff <> " ~ run.at ~ ' group by columns') %}
  {% set sets = [] %}
  {% for row in found.rows %}{% do sets.append({'columns': fromjson(row[0]), 'cutoff': row[1]}) %}{% endfor %}
  {% do return(sets) %}
{% endmacro %}
