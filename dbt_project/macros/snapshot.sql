{#- Folds one table's clone of one night into its history. Replaces dbt's own snapshot materialization, whose table layout it
    keeps, since that one loses rows when nights are replayed, out of order, keyless, or change their columns.

    Read, gate, prepare, apply: what is refused is refused before anything is written; columns are prepared before the
    transaction, since DDL may not follow writes in one; history and ledger change in one transaction, or not at all. -#}

{% materialization snapshot, default %}
  {% do fold(this, run_of(this, model['config']['meta']['run'])) %}
  {% call noop_statement('main', 'OK') %}{% endcall %}
  {% do return({'relations': [this]}) %}
{% endmaterialization %}

{#- dbt-snowflake has a materialization of its own, which only another of its own replaces. -#}
{% materialization snapshot, adapter='snowflake' %}
  {% do fold(this, run_of(this, model['config']['meta']['run'])) %}
  {% call noop_statement('main', 'OK') %}{% endcall %}
  {% do return({'relations': [this]}) %}
{% endmaterialization %}

{#- All that is known of a table's night before the warehouse is asked. -#}
{% macro run_of(relation, table) %}
  {% set run = current_run() %}
  {% set clone = clone_of(relation, run) %}
  {% do return({
      'date': run['clone_date'], 'at': instant(run['cutoff']), 'cutoff': run['cutoff'], 'time_zone': run['time_zone'],
      'cutoff_time': run['cutoff_time'], 'force': run['force'], 'gates': run['gates'],
      'clone_id': run['schemas'][relation.schema]['clone_id'], 'quiet_point': run['schemas'][relation.schema]['quiet_point'],
      'history': full_name(relation), 'clone': full_name(clone), 'clone_database': clone.database,
      'location': run['schemas'][relation.schema]['location'], 'columns': described(table['columns']),
      'key': table['key'], 'key_holds': table['key_holds'], 'created': table['created'], 'altered': table['altered']}) %}
{% endmacro %}

{#- A fold that another process was faster than is done again, on what that one left. Each time it is another that has got its
    night done, so that ten times are enough for any number of processes that is meant. -#}
{% macro fold(relation, run) %}
  {% for attempt in range(10) %}
    {% if fold_once(relation, run) %}{% do return(none) %}{% endif %}
  {% endfor %}
  {% do exceptions.raise_compiler_error(
      'found ' ~ relation.schema ~ '.' ~ relation.identifier ~ ' folded by other processes ten times meanwhile, expected to be '
      ~ 'alone with it: nothing was changed, run ' ~ run.date ~ ' again') %}
{% endmacro %}

{#- Whether the table is folded, or was already; raises what a gate found. -#}
{% macro fold_once(relation, run) %}
  {% set facts = facts_of(relation, run) %}
  {% if not run.force and facts.applied == run.clone_id %}{% do return(true) %}{% endif %}
  {% set problem = none if run.force else gate(relation, run, facts) %}
  {% if problem %}
    {% if problem != facts.quarantined and not apply(relation, run, facts, [], problem) %}{% do return(false) %}{% endif %}
    {% do exceptions.raise_compiler_error(problem) %}
  {% endif %}
  {% set columns = prepare_columns(relation, run, facts) %}
  {% if not columns %}
    {#- Absent, and never there before: there is nothing to fold, and no table to fold it into. -#}
    {% do return(apply(relation, run, facts, [])) %}
  {% elif facts.is_newest and not run.force %}
    {% do return(apply(relation, run, facts, fold_newest(run, facts, columns), has_history=true)) %}
  {% endif %}
  {% do send([changed_values(run, facts, columns)]) %}
  {% do return(apply(relation, run, facts, mend(run) + fold_anywhere(run, facts, columns), has_history=true)) %}
{% endmacro %}

{#- Statements in one transaction with the ledger row that stands for them. Where another process has folded the table since
    the facts were read, nothing of it holds any more: then nothing is changed, and the answer is false, or on DuckDB an error.

    Two transactions that write the same table wait for each other by what they change of its history. Where there is nothing to
    change, they do by what they delete of the ledger: engines let INSERTs go side by side. -#}
{% macro apply(relation, run, facts, statements, problem=none, has_history=false) %}
  {% set forgotten = [forget_ledger_rows(relation, run, facts, problem)] if facts.rows_of_date or not statements else [] %}
  {% set entering = ledger_row(relation, run, facts, problem, has_history) %}
  {% do return(transact(statements + forgotten + [entering])) %}
{% endmacro %}

{#- Whether statements are done in one transaction, of which the last has entered its row into the ledger; else nothing is. -#}
{% macro transact(statements) %}
  {% do return(adapter.dispatch('transact', 'history_assets')(statements)) %}
{% endmacro %}

{% macro default__transact(statements) %}
  {% do send(['begin'] + statements[:-1]) %}
  {% set entered = answer_of(statements[-1:])[0][0] == 1 %}
  {% do send(['commit' if entered else 'rollback']) %}
  {% do return(entered) %}
{% endmacro %}

{#- Have statements executed whose answers nobody needs, each by itself. -#}
{% macro send(statements) %}
  {% for sql in statements %}{% call statement('sent', auto_begin=false) %}{{ sql }}{% endcall %}{% endfor %}
{% endmacro %}

{#- Have statements executed one after the other, and return the rows that the last one answers. -#}
{% macro answer_of(statements) %}
  {% do return(adapter.dispatch('answer_of', 'history_assets')(statements)) %}
{% endmacro %}

{% macro default__answer_of(statements) %}
  {% do send(statements[:-1]) %}
  {% do return(run_query(statements[-1]).rows) %}
{% endmacro %}

{#- Statements that come before the first question about a table. -#}
{% macro opening(relation, run) %}
  {% do return(adapter.dispatch('opening', 'history_assets')(relation, run)) %}
{% endmacro %}

{% macro begin_night(run) %}
  {% do adapter.dispatch('begin_night', 'history_assets')(run) %}
{% endmacro %}
