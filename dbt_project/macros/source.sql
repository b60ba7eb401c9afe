{#- A source is its table in the clone of the night that is run. While parsing there is no night: then it is dbt's own. -#}

{% macro source(schema_name, table_name) %}
  {% set relation = builtins.source(schema_name, table_name) %}
  {% do return(clone_relation(relation) if execute else relation) %}
{% endmacro %}
