{#- A source is its table in the clone of the night that is run. While parsing there is no night: then it is dbt's own. -#}

{% macro source(schema_name, table_name) %}
  {% set relation = builtins.source(schema_name, table_name) %}
  {% do return(clone_of(relation, current_run()) if execute else relation) %}
{% endmacro %}

{#- The table in its schema's clone; both bear the same schema and table name in what a run is told. -#}
{% macro clone_of(relation, run) %}
  {% do return(adapter.dispatch('clone_of', 'history_assets')(relation, run)) %}
{% endmacro %}
