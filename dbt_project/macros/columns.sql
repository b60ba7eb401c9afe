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

{#- Columns, given by name and type, with all that is asked of them again and again: their name as the engine compares it and as
    it stands in SQL, their type's family, the type that stores them, the source's name for it, and what their values are called
    in a row's identifier, which is the same whichever column holds them just now. -#}
{% macro described(columns) %}
  {% set names = columns | map(attribute='name') | list %}
  {% set types = columns | map(attribute='type') | list %}
  {% set families, stored = families_of(types), stored_types(types) %}
  {% set folded_names, folded_families, in_quotes = all_folded(names), all_folded(families), all_quoted(names) %}
  {% set found = [] %}
  {% for name in folded_names %}
    {% set at = loop.index0 %}
    {% set is_apart = '__as_' in name | lower and not name.lower().endswith('__as_is') %}
    {% set base = name.rpartition('__as_')[0] if is_apart else name.removesuffix('__as_is') %}
    {% do found.append({
        'name': names[at], 'type': types[at], 'family': families[at], 'stored': stored[at], 'folded': name,
        'quoted': in_quotes[at], 'clone': none, 'is_synced': name | lower == '_fivetran_synced',
        'is_apart': is_apart, 'base': base, 'label': name if is_apart else base ~ '__as_' ~ folded_families[at]}) %}
  {% endfor %}
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
  {% if not facts.history %}
    {% set columns = [] %}
    {% for column in run.columns %}
      {% set name = plain_name(column.name) if '__as_' in column.folded | lower else column.name %}
      {% do columns.append({'name': name, 'type': column.stored}) %}
    {% endfor %}
    {% set columns = described(columns) %}
    {% for column in columns %}{% do column.update({'clone': run.columns[loop.index0].name, 'clone_type': column.type}) %}{% endfor %}
    {% if columns %}{% do create_history(run.history, columns) %}{% endif %}
    {% do return(columns) %}
  {% endif %}
  {% set existing = {} %}
  {% for column in facts.history %}{% do existing.update({column.folded: column}) %}{% endfor %}
  {% for column in run.columns %}
    {% set held = existing.get(column.folded) %}
    {% if not held or held.stored != column.stored or '__as_' in existing | join or '__as_' in column.folded | lower %}
      {% set held = hold(relation, run, existing, column) %}
    {% endif %}
    {% do held.update({'clone': column.name, 'clone_type': column.stored}) %}
  {% endfor %}
  {% set columns = existing.values() | list %}
  {% do give_plain_names(relation, run, columns) %}
  {% do return(columns) %}
{% endmacro %}

{#- The column of the history that holds a clone's column, added or widened where need be. -#}
{% macro hold(relation, run, existing, column) %}
  {% set held = held_in(existing, column) %}
  {% if not held %}
    {% set plain = plain_name(column.name) %}
    {% set name = name_as(column.name, column.family) if folded(plain) in existing else plain %}
    {% set held = described([{'name': name, 'type': column.stored}])[0] %}
    {% do run_query('alter table ' ~ run.history ~ ' add column if not exists ' ~ held.quoted ~ ' ' ~ held.type) %}
    {% do existing.update({held.folded: held}) %}
  {% elif held.type != column.stored and not column.is_synced %}
    {% set wide = wider_type(held.type, column.stored) %}
    {% if wide != held.type %}
      {% do run_query('alter table ' ~ run.history ~ ' alter column ' ~ held.quoted ~ ' set data type ' ~ wide) %}
      {% do held.update({'type': wide}) %}
    {% endif %}
  {% endif %}
  {% do return(held) %}
{% endmacro %}

{% macro create_history(history, columns) %}
  {% set defined = [] %}
  {% for column in columns %}{% do defined.append(column.quoted ~ ' ' ~ column.type) %}{% endfor %}
  {% set at = instant_type() %}
  {% do defined.extend(
      ['dbt_scd_id varchar', 'dbt_updated_at ' ~ at, 'dbt_valid_from ' ~ at, 'dbt_valid_to ' ~ at]) %}
  {% do run_query('create table if not exists ' ~ history ~ ' (' ~ defined | join(', ') ~ ')') %}
{% endmacro %}

{#- Rename, where a column has several families, so that the newest night's has the plain name. -#}
{% macro give_plain_names(relation, run, columns) %}
  {% if columns | selectattr('is_apart') | list %}
    {% set newest = {} %}
    {% set sets = columns_in_ledger(relation, run) + [{'columns': run.columns, 'cutoff': run.cutoff}] %}
    {% for each in sets | sort(attribute='cutoff') %}
      {% for column in each['columns'] %}{% do newest.update({folded(column['name']): column}) %}{% endfor %}
    {% endfor %}
    {% set named = {} %}
    {% for column in columns %}{% do named.update({column.folded: column}) %}{% endfor %}
    {% for column in newest.values() %}
      {% set wanted = named.get(folded(name_as(column['name'], column['family']))) %}
      {% set plain = named.get(folded(plain_name(column['name']))) %}
      {% if wanted and plain %}{% do rename_column(run.history, plain, name_as(column['name'], plain.family)) %}{% endif %}
      {% if wanted %}{% do rename_column(run.history, wanted, plain_name(column['name'])) %}{% endif %}
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro rename_column(history, column, name) %}
  {% do run_query('alter table ' ~ history ~ ' rename column ' ~ column.quoted ~ ' to ' ~ quoted(name)) %}
  {% do column.update({'name': name, 'quoted': quoted(name), 'folded': folded(name)}) %}
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
{% macro families_of(types) %}
  {% do return(adapter.dispatch('families_of', 'history_assets')(types)) %}
{% endmacro %}

{#- The types in which the history stores a source's types. -#}
{% macro stored_types(types) %}
  {% do return(adapter.dispatch('stored_types', 'history_assets')(types)) %}
{% endmacro %}

{#- The narrowest type of the family that holds the values of two of its types. -#}
{% macro wider_type(one, other) %}
  {% do return(adapter.dispatch('wider_type', 'history_assets')(one, other)) %}
{% endmacro %}
