{#- What a run is told: the night, its cutoff, its clones and its gates, as JSON in HISTORY_RUN, read only while executing, so that
    one parse serves every night. What a clone has of a table stands in that snapshot's meta (history_assets/dbt_run.py). -#}

{% macro current_run() %}
  {% do return(fromjson(env_var('HISTORY_RUN'))) %}
{% endmacro %}

{% macro start_run() %}
  {% if execute %}
    {% do create_ledger() %}
    {% do open_clones(current_run()) %}
  {% endif %}
{% endmacro %}
