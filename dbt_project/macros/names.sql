{#- Names and values on their way into SQL. dbt's own quoting leaves quotes inside a name as they are; these do not. -#}

{% macro quoted(name) %}
  {%- do return('"' ~ name | replace('"', '""') ~ '"') -%}
{% endmacro %}

{#- A name as the engine compares it. -#}
{% macro folded(name) %}
  {%- do return(adapter.dispatch('folded', 'history_assets')(name)) -%}
{% endmacro %}

{#- A text as a literal. -#}
{% macro text(value) %}
  {%- do return(adapter.dispatch('text', 'history_assets')(value)) -%}
{% endmacro %}

{#- An instant, in UTC and without a zone, as histories keep it. -#}
{% macro instant(value) %}
  {%- do return("cast(" ~ text(value) ~ " as " ~ instant_type() ~ ")") -%}
{% endmacro %}

{% macro instant_type() %}
  {%- do return(adapter.dispatch('instant_type', 'history_assets')()) -%}
{% endmacro %}

{% macro forever() %}
  {%- do return(instant('9999-12-31')) -%}
{% endmacro %}

{% macro full_name(relation) %}
  {%- do return(quoted(relation.database) ~ '.' ~ quoted(relation.schema) ~ '.' ~ quoted(relation.identifier)) -%}
{% endmacro %}

{#- A snapshot's schema is its Fivetran schema's own name, not dbt's target schema with a suffix. -#}
{% macro generate_schema_name(custom_schema_name, node) %}
  {%- do return(custom_schema_name or target.schema) -%}
{% endmacro %}
