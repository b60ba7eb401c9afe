{#- What a run is told: the night, its cutoff, its clones and its gates, as JSON in HISTORY_RUN, read only while executing, so that
    one parse serves every night. What a clone has of a table stands in that snapshot's meta (history_assets/dbt_run.py). -#}

{% macro current_run() %}
  {% do return(fromjson(env_var('HISTORY_RUN'))) %}
{% endmacro %}

{% macro start_run() %}
  {% if execute %}
    {% set run = current_run() %}
    {% do create_ledger() %}
    {% do create_schemas_alike(run) %}
    {% do begin_night(run) %}
  {% endif %}
{% endmacro %}

{#- dbt makes the schemas that a run lacks, but takes two whose names differ in case alone for one, and makes one of them. -#}
{% macro create_schemas_alike(run) %}
  {% set all = graph.nodes.values() | map(attribute='schema') | unique(case_sensitive=true) | map('lower') | list %}
  {% for schema in run['schemas'] if all.count(schema | lower) > 1 %}
    {% do create_schema(api.Relation.create(database=target.database, schema=schema)) %}
  {% endfor %}
{% endmacro %}
