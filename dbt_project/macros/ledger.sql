{#- The ledger: which clone of which table was folded into its history, written in the transaction that folds it.

    A night that a gate held back has a row with status 'quarantined' beside the row, if any, of the clone that is applied. -#}

{% macro ledger() %}
  {%- do return(quoted(target.database) ~ '."_history_assets"."applied"') -%}
{% endmacro %}

{% macro create_ledger() %}
  {% do run_query('create schema if not exists ' ~ quoted(target.database) ~ '."_history_assets"') %}
  {% do run_query('
    create table if not exists ' ~ ledger() ~ ' (
      schema_name varchar not null, table_name varchar not null, clone_date date not null, clone_id varchar not null,
      cutoff timestamp not null, quiet_point timestamp not null, row_count bigint not null, opened bigint not null,
      closed bigint not null, columns varchar not null, key_columns varchar not null, duplicate_keys bigint not null,
      status varchar not null, problem varchar, time_zone varchar not null, cutoff_time varchar not null
    )') %}
{% endmacro %}

{% macro of_table(relation) %}
  {%- do return('schema_name = ' ~ text(relation.schema) ~ ' and table_name = ' ~ text(relation.identifier)) -%}
{% endmacro %}

{#- An applied night forgets all that the ledger said of the date; a quarantined one only that it was quarantined before. -#}
{% macro forget_ledger_row(relation, status=none) %}
  {% set of_status = ' and status = ' ~ text(status) if status else '' %}
  {% do return(
      'delete from ' ~ ledger() ~ ' where ' ~ of_table(relation)
      ~ ' and clone_date = ' ~ text(current_run()['clone_date']) ~ of_status) %}
{% endmacro %}

{% macro ledger_row(relation, facts, status, key, counts, opened='0', closed='0', problem=none) %}
  {% set run = current_run() %}
  {% set clone = clone_of_run(relation) %}
  {% do return(
      'insert into ' ~ ledger() ~ ' values (' ~ [
        text(relation.schema), text(relation.identifier), 'cast(' ~ text(run['clone_date']) ~ ' as date)',
        text(clone['clone_id']), cutoff_of_run(), instant(clone['quiet_point']), counts.rows, opened, closed, text(tojson(with_families(facts.clone))),
        text(tojson(key)), counts.duplicate_keys,
        text(status), text(problem) if problem else 'null', text(run['time_zone']), text(run['cutoff_time'])
      ] | join(', ') ~ ')') %}
{% endmacro %}

{#- Rows of the history that begin, and that end, at this night's cutoff, as the transaction leaves them. -#}
{% macro opened_in(history) %}
  {%- do return('(select count(*) from ' ~ history ~ ' where dbt_valid_from = ' ~ cutoff_of_run() ~ ')') -%}
{% endmacro %}

{% macro closed_in(history) %}
  {%- do return('(select count(*) from ' ~ history ~ ' where dbt_valid_to = ' ~ cutoff_of_run() ~ ')') -%}
{% endmacro %}

{#- Which columns the applied nights had, each set once with the last cutoff that had it, but for this night. -#}
{% macro columns_in_ledger(relation) %}
  {% set found = run_query('
    select columns, cast(max(cutoff) as varchar) as last_cutoff from ' ~ ledger() ~ '
    where ' ~ of_table(relation) ~ " and status = 'applied' and cutoff <> " ~ cutoff_of_run() ~ ' group by columns') %}
  {% set sets = [] %}
  {% for row in found.rows %}{% do sets.append({'columns': fromjson(row[0]), 'cutoff': row[1]}) %}{% endfor %}
  {% do return(sets) %}
{% endmacro %}
