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

{#- The history's columns with lower-case names as keys. -#}
{% macro by_name(columns) %}
  {% set found = {} %}
  {% for column in columns %}{% do found.update({folded(column.name): column}) %}{% endfor %}
  {% do return(found) %}
{% endmacro %}

{#- The column that holds a clone's column, or nothing where the history has none yet. -#}
{% macro held_in(existing, column) %}
  {% if is_synced(column) %}{% do return(existing.get(folded(column.name))) %}{% endif %}
  {% set family = family_of(column.type) %}
  {% set apart = existing.get(folded(name_as(column.name, family))) %}
  {% set plain = existing.get(folded(plain_name(column.name))) %}
  {% do return(apart or (plain if plain and family_of(plain.type) == family else none)) %}
{% endmacro %}

{#- The names under which the history holds some columns of the clone; empty where it does not hold all of them. -#}
{% macro history_names(facts, names) %}
  {% set existing = by_name(facts.history) %}
  {% set found = [] %}
  {% for name in names %}
    {% for column in facts.clone if folded(column.name) == folded(name) %}
      {% set held = held_in(existing, column) %}
      {% if held %}{% do found.append(held.name) %}{% endif %}
    {% endfor %}
  {% endfor %}
  {% do return(found if found | length == names | length else []) %}
{% endmacro %}

{#- Make the history able to hold the clone, and return its columns: name, type, and the clone's column that each takes. -#}
{% macro prepare_columns(relation, facts) %}
  {% set history = history_table(relation) %}
  {% if not facts.history %}
    {% set made = [] %}
    {% for column in facts.clone %}
      {% do made.append({'name': plain_name(column.name), 'type': stored_type(column.type), 'clone': column.name}) %}
    {% endfor %}
    {% if made %}{% do create_history(history, made) %}{% endif %}
    {% do return(made) %}
  {% endif %}
  {% set existing = by_name(facts.history) %}
  {% set takes = {} %}
  {% for column in facts.clone %}
    {% set family = family_of(column.type) %}
    {% set held = held_in(existing, column) %}
    {% if not held %}
      {% set taken = existing.get(folded(plain_name(column.name))) %}
      {% set held = {
          'name': name_as(column.name, family) if taken else plain_name(column.name), 'type': stored_type(column.type)} %}
      {% do run_query('alter table ' ~ history ~ ' add column ' ~ quoted(held.name) ~ ' ' ~ held.type) %}
      {% do existing.update({folded(held.name): held}) %}
    {% endif %}
    {% set wide = held.type if is_synced(column) else wider_type(held.type, stored_type(column.type)) %}
    {% if wide != held.type %}
      {% do run_query('alter table ' ~ history ~ ' alter column ' ~ quoted(held.name) ~ ' type ' ~ wide) %}
      {% do existing.update({folded(held.name): {'name': held.name, 'type': wide}}) %}
    {% endif %}
    {% do takes.update({folded(held.name): column.name}) %}
  {% endfor %}
  {% set columns = [] %}
  {% for name, column in existing.items() %}
    {% do columns.append({'name': column.name, 'type': column.type, 'clone': takes.get(name)}) %}
  {% endfor %}
  {% do return(give_plain_names(relation, facts, columns)) %}
{% endmacro %}

{% macro create_history(history, columns) %}
  {% set defined = [] %}
  {% for column in columns %}{% do defined.append(quoted(column.name) ~ ' ' ~ column.type) %}{% endfor %}
  {% do defined.extend(
      ['dbt_scd_id varchar', 'dbt_updated_at timestamp', 'dbt_valid_from timestamp', 'dbt_valid_to timestamp']) %}
  {% do run_query('create table if not exists ' ~ history ~ ' (' ~ defined | join(', ') ~ ')') %}
{% endmacro %}

{#- Rename, where a column has several families, so that the newest night's has the plain name. -#}
{% macro give_plain_names(relation, facts, columns) %}
  {% if not columns_apart(columns) %}{% do return(columns) %}{% endif %}
  {% set newest = {} %}
  {% set sets = columns_in_ledger(relation) + [{'columns': with_families(facts.clone), 'cutoff': current_run()['cutoff']}] %}
  {% for each in sets | sort(attribute='cutoff') %}
    {% for column in each['columns'] %}{% do newest.update({folded(column['name']): column}) %}{% endfor %}
  {% endfor %}
  {% set history = history_table(relation) %}
  {% set named = by_name(columns) %}
  {% for column in newest.values() %}
    {% set wanted = named.get(folded(name_as(column['name'], column['family']))) %}
    {% set plain = named.get(folded(plain_name(column['name']))) %}
    {% if wanted and plain %}
      {% set aside = name_as(column['name'], family_of(plain.type)) %}
      {% do run_query('alter table ' ~ history ~ ' rename column ' ~ quoted(plain.name) ~ ' to ' ~ quoted(aside)) %}
      {% do plain.update({'name': aside}) %}
    {% endif %}
    {% if wanted %}
      {% do run_query(
          'alter table ' ~ history ~ ' rename column ' ~ quoted(wanted.name) ~ ' to ' ~ quoted(plain_name(column['name']))) %}
      {% do wanted.update({'name': plain_name(column['name'])}) %}
    {% endif %}
  {% endfor %}
  {% do return(columns) %}
{% endmacro %}

{% macro columns_apart(columns) %}
  {% set found = [] %}
  {% for column in columns if '__as_' in column.name | lower and not column.name.endswith('__as_is') %}
    {% do found.append(column) %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}

{#- A clone's columns as the ledger keeps them. -#}
{% macro with_families(columns) %}
  {% set found = [] %}
  {% for column in columns %}
    {% do found.append({'name': column.name, 'type': column.type, 'family': family_of(column.type)}) %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}

{#- What a value is called where it makes up a row's identifier: the same whichever column holds it just now. -#}
{% macro label(column) %}
  {% set name = folded(column.name) %}
  {% if '__as_' in name and not name.endswith('__as_is') %}{% do return(name) %}{% endif %}
  {% do return(name_as(name[:-7] if name.endswith('__as_is') else name, family_of(column.type)) | lower) %}
{% endmacro %}

{#- Columns that are compared: all but when Fivetran last wrote the row. -#}
{% macro compared_of(columns) %}
  {% set found = [] %}
  {% for column in columns if not is_synced(column) %}{% do found.append(column) %}{% endfor %}
  {% do return(found) %}
{% endmacro %}

{#- The column that holds when Fivetran last wrote the row, or nothing. It has one type for good: it is kept, never compared. -#}
{% macro synced_of(columns) %}
  {% do return(columns | reject('in', compared_of(columns)) | first | default(none)) %}
{% endmacro %}

{% macro is_synced(column) %}
  {% do return(folded(column.name) == '_fivetran_synced') %}
{% endmacro %}
