{#- What is held back before anything is written: a copy that looks like a failed load, or whose keys contradict themselves.
    Each gate can be switched off by a setting, and opened for one run. -#}

{#- One line that says why the clone is held back, or nothing. -#}
{% macro gate(relation, run, facts) %}
  {% set shut = run.gates['shut'] %}
  {% set share, least = run.gates['shrunken_share'], run.gates['shrunken_rows'] %}
  {% set before, rows, key = facts.previous_rows, facts.rows, run.key | join(', ') %}
  {% set name, date = relation.schema ~ '.' ~ relation.identifier, run.date %}
  {% set remedy = ': correct it at the source, or run ' ~ date ~ ' again allowing ' %}
  {% if not run.columns and before > 0 and 'absent' in shut %}
    {% do return('found no table ' ~ name ~ ' in the clone of ' ~ date ~ ', expected it, since the night before had '
        ~ before ~ ' rows; it was dropped, or its grant was revoked' ~ remedy ~ 'absent') %}
  {% elif run.columns and rows == 0 and before > 0 and 'empty' in shut %}
    {% do return('found no rows in ' ~ name ~ ' on ' ~ date ~ ', expected some, since the night before had '
        ~ before ~ remedy ~ 'empty') %}
  {% elif facts.duplicate_keys > 0 and 'duplicate-key' in shut %}
    {% do return('found ' ~ facts.duplicate_keys ~ ' keys of ' ~ name ~ ' (' ~ key ~ ') more than once on ' ~ date
        ~ ', such as ' ~ some_duplicates(run) ~ ', expected each once' ~ remedy ~ 'duplicate-key') %}
  {% elif facts.null_keys > 0 and 'null-key' in shut %}
    {% do return('found ' ~ facts.null_keys ~ ' of ' ~ rows ~ ' rows of ' ~ name ~ ' without a key (' ~ key ~ ') on ' ~ date
        ~ ', expected none' ~ remedy ~ 'null-key') %}
  {% elif before >= least and rows > 0 and before - rows > share * before and 'shrunken' in shut %}
    {% do return('found ' ~ rows ~ ' rows in ' ~ name ~ ' on ' ~ date ~ ', expected at least '
        ~ (before - share * before) | round(0, 'ceil') | int ~ ' of the ' ~ before ~ ' of the night before' ~ remedy
        ~ 'shrunken') %}
  {% endif %}
  {% do return(none) %}
{% endmacro %}

{#- Up to five keys that several rows share, as people read them. -#}
{% macro some_duplicates(run) %}
  {% set names = all_quoted(run.key) | join(', ') %}
  {% set found = run_query(
      'select ' ~ names ~ ' from ' ~ run.clone ~ ' group by ' ~ names ~ ' having count(*) > 1 order by ' ~ names ~ ' limit 5') %}
  {% set keys = [] %}
  {% for row in found.rows %}{% do keys.append('(' ~ row.values() | join(', ') ~ ')') %}{% endfor %}
  {% do return(keys | join(' ')) %}
{% endmacro %}
