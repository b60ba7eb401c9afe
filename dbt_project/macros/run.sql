{#- What a run is told: the night, its cutoff, its clones and its gates, as JSON in HISTORY_RUN (history_assets/snapshots.py).

    Read only while executing, never while parsing, so that one parse serves every night. -#}

{% macro current_run() %}
  {% do return(fromjson(env_var('HISTORY_RUN'))) %}
{% endmacro %}

{% macro cutoff_of_run() %}
  {% do return(instant(current_run()['cutoff'])) %}
{% endmacro %}

{#- What a run says of a table: its schema's clone, and the key that the settings give it. -#}
{% macro clone_of_run(relation) %}
  {% do return(current_run()['schemas'][relation.schema]) %}
{% endmacro %}

{% macro configured_key(relation) %}
  {% do return(clone_of_run(relation)['keys'].get(relation.identifier, [])) %}
{% endmacro %}

{% macro start_run() %}
  {% if execute %}
    {% do create_ledger() %}
    {% do open_clones() %}
  {% endif %}
{% endmacro %}
