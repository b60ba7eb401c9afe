{#- Folds one table's clone of one night into its history. Replaces dbt's own snapshot materialization, whose table layout it
    keeps: see DESIGN for what dbt's loses. The table is prepared first, since DDL may not follow writes in a transaction; then
    history and ledger change in one transaction, or not at all. -#}

{% materialization snapshot, default %}
  {% set clone = clone_table(this) %}
  {% set clone_columns = columns_of_clone(this) %}
  {% if not clone_columns %}
    {% do exceptions.raise_compiler_error(
        'found no table ' ~ this.schema ~ '.' ~ this.identifier ~ ' in the clone of ' ~ current_run()['clone_date']
        ~ ': expected one; check that Fivetran still loads it') %}
  {% endif %}
  {% set around = ledger_around(this) %}
  {% if around['clone_id'] != current_run()['schemas'][this.schema]['clone_id'] %}
    {% set columns = prepare_history(this, clone_columns) %}
    {% do fold(this, clone, clone_columns, columns, around['next_cutoff']) %}
    {% do write_ledger(this, clone, clone_columns) %}
    {% do adapter.commit() %}
  {% endif %}
  {% call noop_statement('main', 'OK') %}{% endcall %}
  {% do return({'relations': [this]}) %}
{% endmaterialization %}

{% macro run_in_transaction(sql) %}
  {% call statement(auto_begin=true) %}{{ sql }}{% endcall %}
{% endmacro %}

{#- Make the history table hold every column of the clone; returns the columns that it has then, but for dbt's own. -#}
{% macro prepare_history(relation, clone_columns) %}
  {% set history = history_table(relation) %}
  {% set existing = columns_of_history(relation) %}
  {% if not existing %}
    {% set defined = [] %}
    {% for column in clone_columns %}{% do defined.append(quoted(column.name) ~ ' ' ~ column.type) %}{% endfor %}
    {% do run_query('create table if not exists ' ~ history ~ ' (' ~ (defined + dbt_columns()) | join(', ') ~ ')') %}
    {% do return(clone_columns) %}
  {% endif %}
  {% set known = {} %}
  {% for column in existing %}{% do known.update({column.name | lower: column.type}) %}{% endfor %}
  {% set columns = existing | list %}
  {% for column in clone_columns %}
    {% if column.name | lower not in known %}
      {% do run_query('alter table ' ~ history ~ ' add column if not exists ' ~ quoted(column.name) ~ ' ' ~ column.type) %}
      {% do columns.append(column) %}
    {% elif known[column.name | lower] != column.type %}
      {% do exceptions.raise_compiler_error(
          'found type ' ~ column.type ~ ' in column ' ~ column.name ~ ' of ' ~ relation.schema ~ '.' ~ relation.identifier
          ~ ', expected ' ~ known[column.name | lower] ~ ' as in its history: changed types are not folded yet') %}
    {% endif %}
  {% endfor %}
  {% do return(columns) %}
{% endmacro %}

{% macro dbt_columns() %}
  {% do return(['dbt_scd_id varchar', 'dbt_updated_at timestamp', 'dbt_valid_from timestamp', 'dbt_valid_to timestamp']) %}
{% endmacro %}
