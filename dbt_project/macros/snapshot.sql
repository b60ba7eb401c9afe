{#- Folds one table's clone of one night into its history. Replaces dbt's own snapshot materialization, whose table layout it
    keeps, since that one loses rows when nights are replayed, out of order, keyless, or change their columns.

    Read, gate, prepare, compare, apply: what is refused is refused before anything is written; columns are prepared before the
    transaction, since DDL may not follow writes in one; history and ledger change in one transaction, or not at all. -#}

{% materialization snapshot, default %}
  {% set facts = facts_of(this) %}
  {% set force = current_run().get('force', false) %}
  {% if force or facts.applied != clone_of_run(this)['clone_id'] %}
    {% set key = key_of(this, facts) %}
    {% set counts = count_rows(this, facts, key) %}
    {% set problem = none if force else gate(this, facts, key, counts) %}
    {% if problem %}
      {% do apply([ledger_row(this, facts, 'quarantined', key, counts, problem=problem)], replacing='quarantined') %}
      {% do exceptions.raise_compiler_error(problem) %}
    {% endif %}
    {% set columns = prepare_columns(this, facts) %}
    {% if not columns %}
      {#- Absent, and never there before: there is nothing to fold, and no table to fold it into. -#}
      {% do apply([ledger_row(this, facts, 'applied', key, counts)]) %}
    {% elif facts.is_newest and counts.unique and not force %}
      {% do fold_newest(this, facts, columns, key, counts) %}
    {% else %}
      {% do fold_anywhere(this, facts, columns, key, counts, force) %}
    {% endif %}
  {% endif %}
  {% call noop_statement('main', 'OK') %}{% endcall %}
  {% do return({'relations': [this]}) %}
{% endmaterialization %}

{#- The key by which rows are told apart: declared, else configured, else Fivetran's own, else none. A configured key of which
    the clone lacks a column is none: a key is a gate and a way in, and no table waits for one. -#}
{% macro key_of(relation, facts) %}
  {% set names = by_name(facts.clone).keys() | list %}
  {% set configured = configured_key(relation) %}
  {% set missing = [] %}
  {% for column in configured if folded(column) not in names %}{% do missing.append(column) %}{% endfor %}
  {% set surrogate = ['_fivetran_id'] if '_fivetran_id' in names else [] %}
  {% do return(facts.key or ([] if missing else configured) or surrogate) %}
{% endmacro %}

{#- Statements in one transaction; together with the ledger row that stands for them. -#}
{% macro apply(statements, replacing=none) %}
  {% set forget = forget_ledger_row(this, replacing) %}
  {% call statement('apply', auto_begin=true) %}{{ ([forget] + statements) | join(';\n') }}{% endcall %}
  {% do adapter.commit() %}
{% endmacro %}
