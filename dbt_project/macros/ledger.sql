{#- The ledger: which clone of which table was folded into its history, written in the transaction that folds it. -#}

{% macro ledger() %}
  {%- do return(quoted(target.database) ~ '."_history_assets"."applied"') -%}
{% endmacro %}

{% macro create_ledger() %}
  {% do run_query('create schema if not exists ' ~ quoted(target.database) ~ '."_history_assets"') %}
  {% do run_query('
    create table if not exists ' ~ ledger() ~ ' (
      schema_name varchar not null, table_name varchar not null, clone_date date not null, clone_id varchar not null,
      cutoff timestamp not null, quiet_point timestamp not null, row_count bigint not null, opened bigint not null,
      closed bigint not null, columns varchar not null, status varchar not null, time_zone varchar not null,
      cutoff_time varchar not null
    )') %}
{% endmacro %}

{% macro row_of_table(relation) %}
  {%- do return('schema_name = ' ~ text(relation.schema) ~ ' and table_name = ' ~ text(relation.identifier)) -%}
{% endmacro %}

{#- What the ledger knows around this night: the clone that it holds for it, and the cutoff of the next applied night. -#}
{% macro ledger_around(relation) %}
  {% set found = run_query('
    select max(case when cutoff = ' ~ cutoff_of_run() ~ ' then clone_id end) as clone_id,
           cast(min(case when cutoff > ' ~ cutoff_of_run() ~ ' then cutoff end) as varchar) as next_cutoff
    from ' ~ ledger() ~ ' where ' ~ row_of_table(relation)).rows[0] %}
  {% do return({'clone_id': found[0], 'next_cutoff': found[1]}) %}
{% endmacro %}

{#- The ledger row of this night, counted from the tables as the transaction leaves them. -#}
{% macro write_ledger(relation, clone, clone_columns) %}
  {% set run = current_run() %}
  {% set schema = run['schemas'][relation.schema] %}
  {% do run_in_transaction('
    delete from ' ~ ledger() ~ ' where ' ~ row_of_table(relation) ~ ' and clone_date = ' ~ text(run['clone_date'])) %}
  {% do run_in_transaction('
    insert into ' ~ ledger() ~ '
    select ' ~ text(relation.schema) ~ ', ' ~ text(relation.identifier) ~ ', cast(' ~ text(run['clone_date']) ~ ' as date), '
      ~ text(schema['clone_id']) ~ ', ' ~ cutoff_of_run() ~ ', ' ~ instant(schema['quiet_point']) ~ ',
      (select count(*) from ' ~ clone ~ '),
      (select count(*) from ' ~ history_table(relation) ~ ' where dbt_valid_from = ' ~ cutoff_of_run() ~ '),
      (select count(*) from ' ~ history_table(relation) ~ ' where dbt_valid_to = ' ~ cutoff_of_run() ~ '),
      ' ~ text(tojson(clone_columns)) ~ ", 'applied', " ~ text(run['time_zone']) ~ ', ' ~ text(run['cutoff_time'])) %}
{% endmacro %}
