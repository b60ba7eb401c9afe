{#- What the warehouse knows of a table before its night is folded, in one statement: the history's columns, the ledger, and
    the counts of the clone that its gates look at. -#}

{% macro facts_of(relation, run) %}
  {% set of_table = ' from ' ~ ledger() ~ ' where ' ~ of_table(relation) %}
  {% set facts = namespace(
      history=[], open_transaction=none, entry=0, rows_of_date=0, applied=none, quarantined=none, next_cutoff=none, is_first=true,
      previous_rows=0, previous_key=[], previous_duplicates=0, rows=0, duplicate_keys=0, null_keys=0) %}
  {% set parts = [
      history_columns(relation),
      "select 'entry', coalesce(max(entry), 0), cast(count(case when cutoff = " ~ run.at ~ " then 1 end) as varchar), "
        ~ current_transaction() ~ of_table,
      "select 'applied', 0, max(case when cutoff = " ~ run.at ~ " then clone_id end), cast(min(case when cutoff > " ~ run.at
        ~ " then cutoff end) as varchar)" ~ of_table ~ " and status = 'applied'",
      "select 'quarantined', 0, max(problem), null" ~ of_table ~ " and status = 'quarantined' and cutoff = " ~ run.at
        ~ ' and clone_id = ' ~ text(run.clone_id),
      "select * from (select 'before', row_count, key_columns, cast(duplicate_keys as varchar)" ~ of_table
        ~ " and status = 'applied' and cutoff < " ~ run.at ~ ' order by cutoff desc limit 1) as newest_before'] %}
  {% if run.columns %}
    {% do parts.append(
        "select 'counts', number_of_rows, cast(duplicate_keys as varchar), cast(null_keys as varchar) from ("
        ~ key_counts(run.clone, [] if run.key_holds else run.key) ~ ') as counts') %}
  {% endif %}
  {% for row in answer_of(opening(relation, run) + [parts | join('\nunion all\n') ~ '\norder by 1, 2']) %}
    {% set fact, number, first, second = row[0], row[1] | int, row[2], row[3] %}
    {% if fact == 'history' %}{% do facts.history.append({'name': first, 'type': second}) %}
    {% elif fact == 'entry' %}
      {% set facts.entry = number %}{% set facts.rows_of_date = first | int %}{% set facts.open_transaction = second %}
    {% elif fact == 'applied' %}
      {% set facts.applied = first %}{% set facts.next_cutoff = second %}
    {% elif fact == 'quarantined' %}{% set facts.quarantined = first %}
    {% elif fact == 'before' %}
      {% set facts.is_first = false %}{% set facts.previous_rows = number %}
      {% set facts.previous_key = fromjson(first) %}{% set facts.previous_duplicates = second | int %}
    {% else %}
      {% set facts.rows = number %}{% set facts.duplicate_keys = first | int %}{% set facts.null_keys = second | int %}
    {% endif %}
  {% endfor %}
  {% set facts.history = described(facts.history) %}
  {% set facts.is_newest = not facts.next_cutoff and not facts.applied %}
  {#- A transaction that an error left open on this connection is seen from within, and would be committed with the next. -#}
  {% if facts.open_transaction %}
    {% do send(['rollback']) %}
    {% do return(facts_of(relation, run)) %}
  {% endif %}
  {% do return(facts) %}
{% endmacro %}

{#- Rows of a table, keys that several of them share, and rows of which no part of the key is there. -#}
{% macro key_counts(table, key) %}
  {% if not key %}
    {% do return('select count(*) as number_of_rows, 0 as duplicate_keys, 0 as null_keys from ' ~ table) %}
  {% endif %}
  {% set names = all_quoted(key) %}
  {% do return(
      'select coalesce(sum(copies), 0) as number_of_rows, count(case when copies > 1 then 1 end) as duplicate_keys, '
      ~ 'coalesce(sum(case when ' ~ names | join(' is null and ') ~ ' is null then copies end), 0) as null_keys '
      ~ 'from (select ' ~ names | join(', ') ~ ', count(*) as copies from ' ~ table ~ ' group by ' ~ names | join(', ')
      ~ ') as by_key') %}
{% endmacro %}

{% macro history_columns(relation) %}
  {% do return(adapter.dispatch('history_columns', 'history_assets')(relation)) %}
{% endmacro %}

{% macro current_transaction() %}
  {% do return(adapter.dispatch('current_transaction', 'history_assets')()) %}
{% endmacro %}
