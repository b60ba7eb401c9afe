{#- What is held back before anything is written: a copy that looks like a failed load, or whose keys contradict themselves.
    Each gate can be switched off by a setting, and opened for one run. -#}

{#- Counts of clone and history, in one statement: rows, and whether the key tells each of them apart. -#}
{% macro count_rows(relation, facts, key) %}
  {% if not facts.clone %}
    {% do return({'rows': 0, 'null_keys': 0, 'duplicate_keys': 0, 'unique': false}) %}
  {% endif %}
  {% set clone = clone_table(relation) %}
  {% if not key %}
    {% set rows = run_query('select count(*) from ' ~ clone).rows[0][0] %}
    {% do return({'rows': rows | int, 'null_keys': 0, 'duplicate_keys': 0, 'unique': false}) %}
  {% endif %}
  {% set history_key = history_names(facts, key) %}
  {% set found = run_query('
    select c.number_of_rows, c.null_keys, c.duplicate_keys, h.duplicate_keys
    from (' ~ key_counts(clone, key, 'true') ~ ') as c
    cross join (' ~ (key_counts(history_table(relation), history_key, open_at(cutoff_of_run())) if history_key
      else 'select 1 as duplicate_keys') ~ ') as h').rows[0] %}
  {% do return({
      'rows': found[0] | int, 'null_keys': found[1] | int, 'duplicate_keys': found[2] | int,
      'unique': found[2] == 0 and (found[3] == 0 or not facts.history)}) %}
{% endmacro %}

{% macro key_counts(table, key, condition) %}
  select coalesce(sum(copies), 0) as number_of_rows, coalesce(sum(case when copies > 1 then 1 else 0 end), 0) as duplicate_keys,
         coalesce(sum(case when {% for column in key %}{{ quoted(column) }} is null{{ ' and ' if not loop.last }}{% endfor %}
                      then copies else 0 end), 0) as null_keys
  from (
    select {% for column in key %}{{ quoted(column) }}, {% endfor %}count(*) as copies
    from {{ table }} where {{ condition }}
    group by {% for column in key %}{{ quoted(column) }}{{ ', ' if not loop.last }}{% endfor %}
  ) as by_key
{% endmacro %}

{% macro open_at(moment) %}
  {%- do return('dbt_valid_from <= ' ~ moment ~ ' and (dbt_valid_to is null or dbt_valid_to > ' ~ moment ~ ')') -%}
{% endmacro %}

{#- One line that says why the clone is held back, or nothing. -#}
{% macro gate(relation, facts, key, counts) %}
  {% set gates = current_run()['gates'] %}
  {% set shut = gates['shut'] %}
  {% set before = facts.previous_rows %}
  {% set name = relation.schema ~ '.' ~ relation.identifier %}
  {% set date = current_run()['clone_date'] %}
  {% set remedy = ': correct it at the source, or run ' ~ date ~ ' again allowing ' %}
  {% if not facts.clone and before > 0 and 'absent' in shut %}
    {% do return('found no table ' ~ name ~ ' in the clone of ' ~ date ~ ', expected it, since the night before had '
        ~ before ~ ' rows; it was dropped, or its grant was revoked' ~ remedy ~ 'absent') %}
  {% elif facts.clone and counts.rows == 0 and before > 0 and 'empty' in shut %}
    {% do return('found no rows in ' ~ name ~ ' on ' ~ date ~ ', expected some, since the night before had '
        ~ before ~ remedy ~ 'empty') %}
  {% elif counts.duplicate_keys > 0 and 'duplicate-key' in shut %}
    {% do return('found ' ~ counts.duplicate_keys ~ ' keys of ' ~ name ~ ' (' ~ key | join(', ') ~ ') more than once on '
        ~ date ~ ', such as ' ~ some_keys(relation, key, 'having count(*) > 1') ~ ', expected each once' ~ remedy ~ 'duplicate-key') %}
  {% elif counts.null_keys > 0 and 'null-key' in shut %}
    {% do return('found ' ~ counts.null_keys ~ ' of ' ~ counts.rows ~ ' rows of ' ~ name ~ ' without a key (' ~ key | join(', ')
        ~ ') on ' ~ date ~ ', expected none' ~ remedy ~ 'null-key') %}
  {% elif before >= gates['shrunken_rows'] and counts.rows > 0 and before - counts.rows > gates['shrunken_share'] * before
      and 'shrunken' in shut %}
    {% do return('found ' ~ counts.rows ~ ' rows in ' ~ name ~ ' on ' ~ date ~ ', expected at least '
        ~ (before - gates['shrunken_share'] * before) | round(0, 'ceil') | int ~ ' of the ' ~ before
        ~ ' of the night before' ~ remedy ~ 'shrunken') %}
  {% endif %}
  {% do return(none) %}
{% endmacro %}

{#- Up to five keys, as people read them. -#}
{% macro some_keys(relation, key, having) %}
  {% set names = [] %}
  {% for column in key %}{% do names.append(quoted(column)) %}{% endfor %}
  {% set found = run_query(
      'select ' ~ names | join(', ') ~ ' from ' ~ clone_table(relation) ~ ' group by ' ~ names | join(', ')
      ~ ' ' ~ having ~ ' order by ' ~ names | join(', ') ~ ' limit 5') %}
  {% set keys = [] %}
  {% for row in found.rows %}{% do keys.append('(' ~ row.values() | join(', ') ~ ')') %}{% endfor %}
  {% do return(keys | join(' ')) %}
{% endmacro %}
