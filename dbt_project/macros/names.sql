{#- Names and values on their way into SQL. dbt's own quoting leaves quotes inside a name as they are; these do not. -#}

{% macro quoted(name) %}
  {%- do return('"' ~ name | replace('"', '""') ~ '"') -%}
{% endmacro %}

{% macro text(value) %}
  {%- do return("'" ~ value | replace("'", "''") ~ "'") -%}
{% endmacro %}

{#- A name as the engine compares it: DuckDB takes A and a for the same, but not É and é. -#}
{% macro folded(name) %}
  {%- do return(name.encode('utf-8').lower().decode('utf-8')) -%}
{% endmacro %}

{% macro instant(value) %}
  {%- do return("cast(" ~ text(value) ~ " as timestamp)") -%}
{% endmacro %}

{% macro history_table(relation) %}
  {%- do return(quoted(relation.database) ~ '.' ~ quoted(relation.schema) ~ '.' ~ quoted(relation.identifier)) -%}
{% endmacro %}

{#- A snapshot's schema is its Fivetran schema's own name, not dbt's target schema with a suffix. -#}
{% macro generate_schema_name(custom_schema_name, node) %}
  {%- do return(custom_schema_name or target.schema) -%}
{% endmacro %}
