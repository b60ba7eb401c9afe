{#- Which column of the history holds which column of a clone, whatever types it had on which night.

    Types that can hold each other's values exactly form a family, and share one column, as wide as the widest applied. A column
    whose type leaves its family gets a column per family: the plain name belongs to the family of the newest applied night that
    has the column, the others are named <column>__as_<family>. So the layout follows from the set of applied nights alone. -#}

{% macro plain_name(name) %}
  {#- A source column that looks like one of ours is kept apart from them. -#}
  {%- do return(name ~ '__as_is' if '__as_' in name | lower else name) -%}
{% endmacro %}

{% macro name_as(name, family) %}
  {%- do return(name ~ '__as_' ~ family) -%}
{% endmacro %}

{#- Columns, given by name and type, with all that is asked of them again and again. -#}
{% macro described(columns) %}
  {% set found = [] %}
  {% for column in columns %}{% do found.append(describe(column['name'], column['type'])) %}{% endfor %}
  {% do return(found) %}
{% endmacro %}

{% macro describe(name, type, clone=none) %}
  {% do return({
      'name': name, 'type': type, 'clone': clone, 'folded': folded(name), 'family': family_of(type),
      'is_synced': name | lower == '_fivetran_synced'}) %}
{% endmacro %}

{% macro by_name(columns) %}
  {% set found = {} %}
  {% for column in columns %}{% do found.update({column.folded: column}) %}{% endfor %}
  {% do return(found) %}
{% endmacro %}

{#- The column of the history that holds a clone's column, or nothing where it has none yet. -#}
{% macro held_in(existing, column) %}
  {% if column.is_synced %}{% do return(existing.get(column.folded)) %}{% endif %}
  {% set apart = existing.get(folded(name_as(column.name, column.family))) %}
  {% set plain = existing.get(folded(plain_name(column.name))) %}
  {% do return(apart or (plain if plain and plain.family == column.family else none)) %}
{% endmacro %}

{#- Make the history able to hold the clone, and return its columns, each with the clone's column that it takes. -#}
{% macro prepare_columns(relation, run, facts) %}
  {% set columns = [] %}
  {% if not facts.history %}
    {% for column in run.columns %}
      {% do columns.append(describe(plain_name(column.name), stored_type(column.type), column.name)) %}
    {% endfor %}
    {% if columns %}{% do create_history(run.history, columns) %}{% endif %}
    {% do return(columns) %}
  {% endif %}
  {% set existing = by_name(facts.history) %}
  {% for column in run.columns %}
    {% set stored = stored_type(column.type) %}
    {% set held = held_in(existing, column) %}
    {% if not held %}
      {% set plain = plain_name(column.name) %}
      {% set held = describe(name_as(column.name, column.family) if folded(plain) in existing else plain, stored) %}
      {% do run_query('alter table ' ~ run.history ~ ' add column if not exists ' ~ quoted(held.name) ~ ' ' ~ held.type) %}
      {% do existing.update({held.folded: held}) %}
    {% elif held.type != stored and not column.is_synced %}
      {% set wide = wider_type(held.type, stored) %}
      {% if wide != held.type %}
        {% do run_query(
            'alter table ' ~ run.history ~ ' alter column ' ~ quoted(held.name) ~ ' set data type ' ~ wide) %}
        {% do held.update({'type': wide}) %}
      {% endif %}
    {% endif %}
    {% do held.update({'clone': column.name}) %}
  {% endfor %}
  {% set columns = existing.values() | list %}
  {% do give_plain_names(relation, run, columns) %}
  {% do return(columns) %}
{% endmacro %}

{% macro create_history(history, columns) %}
  {% set defined = [] %}
  {% for column in columns %}{% do defined.append(quoted(column.name) ~ ' ' ~ column.type) %}{% endfor %}
  {% set at = instant_type() %}
  {% do defined.extend(
      ['dbt_scd_id varchar', 'dbt_updated_at ' ~ at, 'dbt_valid_from ' ~ at, 'dbt_valid_to ' ~ at]) %}
  {% do run_query('create table if not exists ' ~ history ~ ' (' ~ defined | join(', ') ~ ')') %}
{% endmacro %}

{#- Rename, where a column has several families, so that the newest night's has the plain name. -#}
{% macro give_plain_names(relation, run, columns) %}
  {% if columns_apart(columns) %}
    {% set newest = {} %}
    {% set sets = columns_in_ledger(relation, run) + [{'columns': run.columns, 'cutoff': run.cutoff}] %}
    {% for each in sets | sort(attribute='cutoff') %}
      {% for column in each['columns'] %}{% do newest.update({folded(column['name']): column}) %}{% endfor %}
    {% endfor %}
    {% set named = by_name(columns) %}
    {% for column in newest.values() %}
      {% set wanted = named.get(folded(name_as(column['name'], column['family']))) %}
      {% set plain = named.get(folded(plain_name(column['name']))) %}
      {% if wanted and plain %}{% do rename_column(run.history, plain, name_as(column['name'], plain.family)) %}{% endif %}
      {% if wanted %}{% do rename_column(run.history, wanted, plain_name(column['name'])) %}{% endif %}
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro rename_column(history, column, name) %}
  {% do run_query('alter table ' ~ history ~ ' rename column ' ~ quoted(column.name) ~ ' to ' ~ quoted(name)) %}
  {% do column.update({'name': name, 'folded': folded(name)}) %}
{% endmacro %}

{% macro columns_apart(columns) %}
  {% set found = [] %}
  {% for column in columns if '__as_' in column.folded | lower and not column.folded.lower().endswith('__as_is') %}
    {% do found.append(column) %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}

{#- What a value is called where it makes up a row's identifier: the same whichever column holds it just now. -#}
{% macro label(column) %}
  {% set name = column.folded %}
  {% if '__as_' not in name | lower %}{% do return(folded(name_as(name, column.family))) %}{% endif %}
  {% do return(folded(name_as(name[:-7], column.family)) if name.lower().endswith('__as_is') else name) %}
{% endmacro %}

{#- Columns that are compared: all but when Fivetran last wrote the row. -#}
{% macro compared_of(columns) %}
  {% do return(columns | rejectattr('is_synced') | list) %}
{% endmacro %}

{#- The column that holds when Fivetran last wrote the row, or nothing. It has one type for good: it is kept, never compared. -#}
{% macro synced_of(columns) %}
  {% do return(columns | selectattr('is_synced') | first | default(none)) %}
{% endmacro %}

{#- Families of types: within one, each type's values are exactly values of the wider type. -#}
{% macro family_of(type) %}
  {% do return(adapter.dispatch('family_of', 'history_assets')(type)) %}
{% endmacro %}

{#- The narrowest type of the family that holds the values of two of its types. -#}
{% macro wider_type(one, other) %}
  {% do return(adapter.dispatch('wider_type', 'history_assets')(one, other)) %}
{% endmacro %}

{#- The type in which the history stores a source's type. -#}
{% macro stored_type(type) %}
  {% do return(adapter.dispatch('stored_type', 'history_assets')(type)) %}
{% endmacro %}
