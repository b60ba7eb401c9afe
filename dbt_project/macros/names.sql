{#- Names and values on their way into SQL. dbt's own quoting leaves quotes inside a name as they are; these do not. -#}

{% macro quoted(name) %}
  {%- do return(all_quoted([name])[0]) -%}
{% endmacro %}

{#- A macro's call costs dbt a tenth of a millisecond, so what is done to every column of a table is done by one call. -#}
{% macro all_quoted(names) %}
  {% set found = [] %}
  {% for name in names %}{% do found.append('"' ~ name | replace('"', '""') ~ '"') %}{% endfor %}
  {% do return(found) %}
{% endmacro %}

{#- Names as the engine compares them. -#}
{% macro all_folded(names) %}
  {% do return(adapter.dispatch('all_folded', 'history_assets')(names)) %}
{% endmacro %}

{% macro folded(name) %}
  {%- do return(all_folded([name])[0]) -%}
{% endmacro %}

{#- Texts as literals. -#}
{% macro all_texts(values) %}
  {% do return(adapter.dispatch('all_texts', 'history_assets')(values)) %}
{% endmacro %}

{% macro text(value) %}
  {%- do return(all_texts([value])[0]) -%}
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
  {%- do return(all_quoted([relation.database, relation.schema, relation.identifier]) | join('.')) -%}
{% endmacro %}

{#- A snapshot's schema is its Fivetran schema's own name, not dbt's target schema with a suffix. -#}
{% macro generate_schema_name(custom_schema_name, node) %}
  {%- do return(custom_schema_name or target.schema) -%}
{% endmacro %}
