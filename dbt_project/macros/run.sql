{#- What a run is told: the night, its cutoff and its clones, as JSON in HISTORY_RUN.

    Read only while executing, never while parsing, so that one parse serves every night. -#}

{% macro current_run() %}
  {% do return(fromjson(env_var('HISTORY_RUN'))) %}
{% endmacro %}

{% macro cutoff_of_run() %}
  {% do return(instant(current_run()['cutoff'])) %}
{% endmacro %}

{% macro start_run() %}
  {% if execute %}
    {% do create_ledger() %}
    {% do open_clones() %}
  {% endif %}
{% endmacro %}
