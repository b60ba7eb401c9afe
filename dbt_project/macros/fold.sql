{#- The history on [this cutoff, next applied cutoff) becomes the clone's rows, in maximal intervals of equal whole rows.

    Rows are values, each with a number of copies; their identity is every column but _fivetran_synced, NULLs and all. Copy k of
    a value is there while its copies number at least k, which makes the result the same whatever the order of the nights.
    Either fold is a set of changes: which rows of the history end or go, by their addresses, and which come. -#}

{#- The newest night: what differs between the clone and the open rows is closed and opened, and nothing else is looked at. -#}
{% macro fold_newest(run, facts, columns) %}
  {% set compared, synced = compared_of(columns), synced_of(columns) %}
  {% set changes = differing_rows(run, compared, synced, met_by(facts, run, columns)) %}
  {% do return(change_history(run.history, changes, 'update', run.at, compared, synced)) %}
{% endmacro %}

{#- The columns by which rows of clone and history are met: the key, where it tells the rows of both apart. The history's open
    rows are those of the night before, of whose key the ledger knows; a part of it whose type has changed lies in several of
    its columns. Else rows are met as a whole, copy by copy. -#}
{% macro met_by(facts, run, columns) %}
  {% set bases, parts = columns | map(attribute='base') | list, [] %}
  {% for column in columns if column.clone in run.key and bases.count(column.base) == 1 %}
    {% do parts.append(column.name) %}
  {% endfor %}
  {% set known = not facts.history or (
      not facts.is_first and facts.previous_duplicates == 0 and facts.previous_key == run.key) %}
  {% do return(parts if known and facts.duplicate_keys == 0 and parts | length == run.key | length else []) %}
{% endmacro %}

{% macro differing_rows(run, compared, synced, key) %}
  {% set met, differ = [], ['clone.there is null', 'history.address is null'] %}
  {% set shown = [] %}
  {% for column in compared %}
    {% set ours, theirs = 'clone.v' ~ loop.index, 'history.v' ~ loop.index %}
    {% if not key or column.name in key %}{% do met.append(ours ~ ' is not distinct from ' ~ theirs) %}
    {% else %}{% do differ.append(ours ~ ' is distinct from ' ~ theirs) %}
    {% endif %}
    {% do shown.append(', ' ~ ours ~ ' as v' ~ loop.index) %}
  {% endfor %}
  {% if key %}
      select history.address, clone.there as is_new, 1 as copy, {{ run.at }} as valid_from, {{ no_instant() }} as valid_to, clone.synced
             {{- shown | join }}
      from (
        {{ rows_of_clone(run, compared, synced) }}
      ) as clone full join (
        select {{ address() }} as address{{ values_of_history(compared) }} from {{ run.history }} where {{ open_at(run.at) }}
      ) as history on {{ met | join(' and ') }}
      where {{ differ | join(' or ') }}
  {% else %}
      select history.address, clone.there as is_new, clone.copy, {{ run.at }} as valid_from, {{ no_instant() }} as valid_to, clone.synced
             {{- shown | join }}
      from (
        select *, {{ copy_number(compared, 'synced') }} as copy from (
          {{ rows_of_clone(run, compared, synced) }}
        ) as cloned
      ) as clone full join (
        select *, {{ copy_number(compared, 'dbt_valid_from, length(dbt_scd_id), dbt_scd_id') }} as copy from (
          select {{ address() }} as address, dbt_scd_id, dbt_valid_from{{ values_of_history(compared) }} from {{ run.history }} where {{ open_at(run.at) }}
        ) as open_rows
      ) as history on {{ (met + ['clone.copy = history.copy']) | join(' and ') }}
      where {{ differ | join(' or ') }}
  {% endif %}
{% endmacro %}

{% macro copy_number(compared, order) %}
  {%- do return('row_number() over (' ~ ('partition by ' ~ values(compared)[2:] ~ ' ' if compared) ~ 'order by ' ~ order ~ ')') -%}
{% endmacro %}

{#- Any night. Only values whose number of copies differs between clone and history are touched: their intervals are cut at the
    two cutoffs, the clone's copies are put between, and what then adjoins is joined again. By force, every value that the
    history has on the stretch is touched, whatever it says; on the first, also those before it, which no night explains. -#}
{% macro changed_values(run, facts, columns) %}
  {% set compared, synced = compared_of(columns), synced_of(columns) %}
  {% set until = until_of(facts) %}
  {% set on_stretch = 'dbt_valid_from < ' ~ until
      ~ ('' if facts.is_first else ' and (dbt_valid_to is null or dbt_valid_to >= ' ~ run.at ~ ')') %}
  create or replace temporary table {{ changed_table() }} as
  select row_number() over (order by null) as value_id, sum(cloned) as copies, min(synced) as synced{{ values(compared) }}
  from (
    select 0 as cloned, 1 as kept, {{ no_stamp(synced) }} as synced{{ values_of_history(compared) }}
    from {{ run.history }} where {{ on_stretch if run.force else open_at(run.at) }}
    {%- if run.columns %}
    union all
    select 1, 0, synced{{ values(compared) }} from ({{ rows_of_clone(run, compared, synced) }}) as clone
    {%- endif %}
  ) as either
  {{ 'group by ' ~ values(compared)[2:] if compared }}
  {{ 'having sum(cloned) <> sum(kept)' if not run.force }}
{% endmacro %}

{#- What a repair sets right first: rows that no night explains go, and all others can be told apart. -#}
{% macro mend(run) %}
  {% do return(
      ['delete from ' ~ run.history ~ ' where dbt_valid_from is null or dbt_valid_from >= dbt_valid_to']
      + give_addresses(run.history) if run.force else []) %}
{% endmacro %}

{% macro fold_anywhere(run, facts, columns) %}
  {% set compared, synced = compared_of(columns), synced_of(columns) %}
  {% do return(change_history(run.history, moved_intervals(run, facts, compared, synced), 'delete', run.at, compared, synced)) %}
{% endmacro %}

{% macro moved_intervals(run, facts, compared, synced) %}
  {% set until = until_of(facts) %}
  {% set same = [] %}
  {% for column in compared %}
    {% do same.append('history.' ~ column.quoted ~ ' is not distinct from changed_values.v' ~ loop.index) %}
  {% endfor %}
    with touched as (
      select changed_values.value_id, history.{{ address() }} as address, history.dbt_valid_from as valid_from,
             coalesce(history.dbt_valid_to, {{ forever() }}) as valid_to,
             {{ 'history.' ~ synced.quoted if synced else no_stamp(synced) }} as synced
      from {{ run.history }} as history join {{ changed_table() }} as changed_values on {{ same | join(' and ') or 'true' }}
    ),
    pieces as (
      {%- if not (facts.is_first and run.force) %}
      select value_id, valid_from, least(valid_to, {{ run.at }}) as valid_to, 1 as copies, synced
      from touched where valid_from < {{ run.at }}
      union all
      {%- endif %}
      select value_id, greatest(valid_from, {{ until }}) as valid_from, valid_to, 1 as copies, synced
      from touched where valid_to > {{ until }}
      union all
      select value_id, {{ run.at }}, {{ until }}, copies, synced
      from {{ changed_table() }} as changed_values where copies > 0
    ),
    steps as (
      select value_id, moment, sum(step) as step
      from (
        select value_id, valid_from as moment, copies as step from pieces
        union all
        select value_id, valid_to, -copies from pieces
      ) as edges
      group by value_id, moment
      having sum(step) <> 0
    ),
    levels as (
      select value_id, moment as valid_from,
             lead(moment) over (partition by value_id order by moment) as valid_to,
             sum(step) over (partition by value_id order by moment) as copies
      from steps
    ),
    stretches as (
      {{ each_copy('levels') }}
    ),
    begun as (
      select value_id, copy, valid_from, valid_to,
             case when lag(valid_to) over (partition by value_id, copy order by valid_from) = valid_from then 0 else 1 end as begins
      from stretches
    ),
    numbered as (
      select value_id, copy, valid_from, valid_to,
             sum(begins) over (partition by value_id, copy order by valid_from) as island
      from begun
    ),
    intervals as (
      select value_id, copy, min(valid_from) as valid_from, max(valid_to) as valid_to
      from numbered group by value_id, copy, island
    ),
    seen as (
      {#- The earliest that was seen, so that no past day shows a later sync. #}
      select intervals.value_id, intervals.copy, intervals.valid_from, intervals.valid_to, min(pieces.synced) as synced
      from intervals join pieces on pieces.value_id = intervals.value_id
        and pieces.valid_from < intervals.valid_to and pieces.valid_to > intervals.valid_from
      group by intervals.value_id, intervals.copy, intervals.valid_from, intervals.valid_to
    )
    select address, false as is_new, 0 as copy, valid_from, valid_to, synced
           {%- for column in compared %}, cast(null as {{ column.type }}) as v{{ loop.index }}{% endfor %}
    from touched
    union all
    select null, true, seen.copy, seen.valid_from, nullif(seen.valid_to, {{ forever() }}), seen.synced{{ values(compared) }}
    from seen join {{ changed_table() }} as changed_values on changed_values.value_id = seen.value_id
{% endmacro %}

{#- The statements that make changes: rows with an address end at an instant, or are deleted; new ones come. -#}
{% macro change_history(history, changes, how, at, compared, synced) %}
  {% do return(adapter.dispatch('change_history', 'history_assets')(history, changes, how, at, compared, synced)) %}
{% endmacro %}

{% macro changed_table() %}
  {%- do return(adapter.dispatch('changed_table', 'history_assets')()) -%}
{% endmacro %}

{#- The cutoff of the next applied night, or the end of time. -#}
{% macro until_of(facts) %}
  {%- do return(instant(facts.next_cutoff) if facts.next_cutoff else forever()) -%}
{% endmacro %}

{% macro open_at(moment) %}
  {%- do return('dbt_valid_from <= ' ~ moment ~ ' and (dbt_valid_to is null or dbt_valid_to > ' ~ moment ~ ')') -%}
{% endmacro %}

{#- The clone's rows: values typed as the history has them, NULL where the clone lacks the column, and Fivetran's stamp in the
    type that the history has had it in from the first; one that does not fit is left out. No rows where there is no table. -#}
{% macro rows_of_clone(run, compared, synced) %}
  {%- set names = all_quoted(compared | map(attribute='clone') | list) -%}
  {%- set stamp = stamp_of_clone(synced) if synced and synced.clone else no_stamp(synced) -%}
  select true as there, {{ stamp }} as synced
         {%- for column in compared %}, cast({{ names[loop.index0] if column.clone else 'null' }} as {{ column.type }}) as v{{ loop.index }}{% endfor %}
  {{ 'from ' ~ run.clone if run.columns else 'where false' }}
{%- endmacro %}

{% macro stamp_of_clone(synced) %}
  {%- set value = quoted(synced.clone) -%}
  {%- do return(value if synced.clone_type == synced.type else loosely(value, synced.type)) -%}
{% endmacro %}

{#- A value as another type, or NULL where it does not fit. -#}
{% macro loosely(value, type) %}
  {%- do return(adapter.dispatch('loosely', 'history_assets')(value, type)) -%}
{% endmacro %}

{% macro no_stamp(synced) %}
  {%- do return('cast(null as ' ~ (synced.type if synced else 'varchar') ~ ')') -%}
{% endmacro %}

{#- Values are named v1, v2, ... so that no column's own name can collide. -#}
{% macro values(compared, of='') %}
  {%- for column in compared %}, {{ of }}v{{ loop.index }}{% endfor -%}
{% endmacro %}

{% macro values_of_history(compared) %}
  {%- for column in compared %}, {{ column.quoted }} as v{{ loop.index }}{% endfor -%}
{% endmacro %}

{% macro no_instant() %}
  {%- do return('cast(null as ' ~ instant_type() ~ ')') -%}
{% endmacro %}

{#- A row of the history as its new interval has it, in the order of stored_names. -#}
{% macro new_row(compared, synced) %}
  {%- do return(row_id(compared, 'valid_from', 'copy') ~ ', valid_from, valid_from, valid_to' ~ (', synced' if synced) ~ values(compared)) -%}
{% endmacro %}

{% macro stored_names(compared, synced) %}
  {%- set names = ['dbt_scd_id', 'dbt_updated_at', 'dbt_valid_from', 'dbt_valid_to'] -%}
  {%- if synced %}{% do names.append(synced.quoted) %}{% endif -%}
  {%- for column in compared %}{% do names.append(column.quoted) %}{% endfor -%}
  {%- do return(names | join(', ')) -%}
{% endmacro %}

{#- An identifier that is injective in row, beginning and copy. NULLs are left out, so that a column that comes later changes
    no identifier; every value says its length, so that no two rows run together; a value is written as the widest type of its
    family writes it, so that a column that is widened later changes none either. The copy stands at the end, so that equal rows
    of one beginning are known apart by their identifiers alone. -#}
{% macro row_id(compared, valid_from, copy) %}
  {% set places = {} %}
  {% for column in compared %}{% do places.update({column.label: loop.index}) %}{% endfor %}
  {% set labels = places.keys() | sort %}
  {% set values, types, marks = [], [], [] %}
  {% for label in labels %}
    {% do values.append('v' ~ places[label]) %}
    {% do types.append(compared[places[label] - 1].type) %}
    {% do marks.append('|"' ~ label ~ '"') %}
  {% endfor %}
  {% set texts = all_written(values + [valid_from], types + [instant_type()]) %}
  {% set parts = [texts[-1]] %}
  {% for mark in all_texts(marks) %}
    {% set value = texts[loop.index0] %}
    {% do parts.append('coalesce(' ~ mark ~ ' || length(' ~ value ~ ") || ':' || " ~ value ~ ", '')") %}
  {% endfor %}
  {% do return(digest('concat(' ~ parts | join(', ') ~ ", '')") ~ " || '-' || " ~ copy) %}
{% endmacro %}

{#- Values as text, the same for every type of their family, and another for every other value. -#}
{% macro all_written(values, types) %}
  {% do return(adapter.dispatch('all_written', 'history_assets')(values, types)) %}
{% endmacro %}

{% macro digest(expression) %}
  {% do return(adapter.dispatch('digest', 'history_assets')(expression)) %}
{% endmacro %}

{#- Each of so many copies of a value on a stretch of time. -#}
{% macro each_copy(levels) %}
  {% do return(adapter.dispatch('each_copy', 'history_assets')(levels)) %}
{% endmacro %}

{#- What a row of a history is found by within one transaction. -#}
{% macro address() %}
  {%- do return(adapter.dispatch('address', 'history_assets')()) -%}
{% endmacro %}

{#- Statements that give each row an address of its own, where it may have none. -#}
{% macro give_addresses(history) %}
  {%- do return(adapter.dispatch('give_addresses', 'history_assets')(history)) -%}
{% endmacro %}
