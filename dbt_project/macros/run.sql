{#- What a run is told: the night, its cutoff, its clones and its gates, as JSON in HISTORY_RUN; and of each of its tables, in a
    variable of the table's own, what the clone has of it (history_assets/dbt_run.py).

    Read only while executing, never while parsing, so that one parse serves every night. -#}

{% macro current_run() %}
  {% do return(fromjson(env_var('HISTORY_RUN'))) %}
{% endmacro %}

{#- The clone's columns of the table that is run, and its key; no columns where the clone has no such table. -#}
{% macro table_of_run() %}
  {% do return(fromjson(env_var('HISTORY_RUN_' ~ model.name))) %}
{% endmacro %}

{% macro start_run() %}
  {% if execute %}
    {% do create_ledger() %}
    {% do open_clones(current_run()) %}
  {% endif %}
{% endmacro %}
