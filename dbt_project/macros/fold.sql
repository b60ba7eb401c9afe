{#- The history on [this cutoff, next applied cutoff) becomes the clone's rows, in maximal intervals of equal whole rows.

    Rows are values, each with a number of copies; their identity is every column but _fivetran_synced, NULLs and all. Only
    values whose number of copies differs between clone and history are touched: their intervals are cut at the two cutoffs, the
    clone's copies are put between, and what then adjoins is joined again. Copy k of a value is there while its copies number at
    least k, which makes the result the same whatever the order of the nights. -#}

{% macro fold(relation, clone, clone_columns, columns, next_cutoff) %}
  {% set history = history_table(relation) %}
  {% set at = cutoff_of_run() %}
  {% set until = instant(next_cutoff) if next_cutoff else forever() %}
  {% set compared = columns | rejectattr('name', 'in', synced_names(columns)) | list %}

  {% do run_in_transaction(changed_values(history, clone, clone_columns, columns, compared, at)) %}
  {% if run_query('select count(*) from changed_values').rows[0][0] > 0 %}
    {% do run_in_transaction(touched_intervals(history, columns, compared)) %}
    {% do run_in_transaction(
        'delete from ' ~ history ~ ' as history using changed_values where ' ~ same_value(compared)) %}
    {% do run_in_transaction(new_intervals(history, columns, compared, at, until)) %}
  {% endif %}
{% endmacro %}

{% macro forever() %}
  {%- do return(instant('9999-12-31')) -%}
{% endmacro %}

{% macro synced_names(columns) %}
  {% set names = [] %}
  {% for column in columns if column.name | lower == '_fivetran_synced' %}{% do names.append(column.name) %}{% endfor %}
  {% do return(names) %}
{% endmacro %}

{% macro same_value(compared) %}
  {% set equal = [] %}
  {% for column in compared %}
    {% do equal.append('history.' ~ quoted(column.name) ~ ' is not distinct from changed_values.v' ~ loop.index) %}
  {% endfor %}
  {% do return(equal | join(' and ') or 'true') %}
{% endmacro %}

{#- Values, named v1, v2, ... so that no column's own name can collide, that clone and history hold in different numbers. -#}
{% macro changed_values(history, clone, clone_columns, columns, compared, at) %}
  {% set in_clone = clone_columns | map(attribute='name') | map('lower') | list %}
  {% set synced = synced_names(clone_columns) %}
  create or replace temporary table changed_values as
  select row_number() over () as value_id, sum(cloned) as copies, min(synced) as synced
         {%- for column in compared %}, v{{ loop.index }}{% endfor %}
  from (
    select 1 as cloned, 0 as kept, {{ quoted(synced[0]) if synced else 'null' }} as synced
           {%- for column in compared %},
           {{ quoted(column.name) if column.name | lower in in_clone else 'cast(null as ' ~ column.type ~ ')' }} as v{{ loop.index }}
           {%- endfor %}
    from {{ clone }}
    union all
    select 0, 1, null
           {%- for column in compared %}, {{ quoted(column.name) }}{% endfor %}
    from {{ history }}
    where dbt_valid_from <= {{ at }} and (dbt_valid_to is null or dbt_valid_to > {{ at }})
  ) as either
  group by {% for column in compared %}v{{ loop.index }}{{ ', ' if not loop.last }}{% else %}1 = 1{% endfor %}
  having sum(cloned) <> sum(kept)
{% endmacro %}

{#- Every interval, past and present, of those values. -#}
{% macro touched_intervals(history, columns, compared) %}
  {% set synced = synced_names(columns) %}
  create or replace temporary table touched_intervals as
  select changed_values.value_id, history.dbt_valid_from as valid_from,
         coalesce(history.dbt_valid_to, {{ forever() }}) as valid_to,
         {{ 'history.' ~ quoted(synced[0]) if synced else 'null' }} as synced
  from {{ history }} as history join changed_values on {{ same_value(compared) }}
{% endmacro %}

{% macro new_intervals(history, columns, compared, at, until) %}
  {% set synced = synced_names(columns) %}
  insert into {{ history }} (
    {%- for column in compared %}{{ quoted(column.name) }}, {% endfor -%}
    {{ quoted(synced[0]) ~ ', ' if synced }}dbt_scd_id, dbt_updated_at, dbt_valid_from, dbt_valid_to)
  with pieces as (
    select value_id, valid_from, least(valid_to, {{ at }}) as valid_to, 1 as copies, synced
    from touched_intervals where valid_from < {{ at }}
    union all
    select value_id, greatest(valid_from, {{ until }}), valid_to, 1, synced
    from touched_intervals where valid_to > {{ until }}
    union all
    select value_id, {{ at }}, {{ until }}, copies, synced
    from changed_values where copies > 0
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
    select value_id, moment as valid_from, lead(moment) over by_value as valid_to, sum(step) over by_value as copies
    from steps
    window by_value as (partition by value_id order by moment)
  ),
  stretches as (
    select levels.value_id, numbers.number as copy, levels.valid_from, levels.valid_to
    from levels join {{ numbers_up_to('(select max(copies) from levels)') }} as numbers on numbers.number <= levels.copies
  ),
  begun as (
    select *, case when lag(valid_to) over by_copy = valid_from then 0 else 1 end as begins
    from stretches
    window by_copy as (partition by value_id, copy order by valid_from)
  ),
  numbered as (
    select *, sum(begins) over (partition by value_id, copy order by valid_from) as island from begun
  ),
  intervals as (
    select value_id, copy, min(valid_from) as valid_from, max(valid_to) as valid_to
    from numbered group by value_id, copy, island
  ),
  seen as (
    select intervals.value_id, intervals.copy, intervals.valid_from, intervals.valid_to, min(pieces.synced) as synced
    from intervals join pieces on pieces.value_id = intervals.value_id
      and pieces.valid_from < intervals.valid_to and pieces.valid_to > intervals.valid_from
    group by intervals.value_id, intervals.copy, intervals.valid_from, intervals.valid_to
  )
  select
    {%- for column in compared %} changed_values.v{{ loop.index }},{% endfor %}
    {{ 'seen.synced, ' if synced }}
    {{ row_id(compared, 'seen.valid_from', 'seen.copy') }}, seen.valid_from, seen.valid_from,
    nullif(seen.valid_to, {{ forever() }})
  from seen join changed_values on changed_values.value_id = seen.value_id
{% endmacro %}

{#- An identifier that is injective in row, beginning and copy. NULLs are left out, so that a column that comes later changes
    no identifier; every value says its length, so that no two rows run together. -#}
{% macro row_id(compared, valid_from, copy) %}
  {% set parts = ['cast(' ~ valid_from ~ ' as varchar)', 'cast(' ~ copy ~ ' as varchar)'] %}
  {% for column in compared | sort(attribute='name') %}
    {% set value = 'cast(changed_values.v' ~ (compared.index(column) + 1) ~ ' as varchar)' %}
    {% do parts.append(
        'coalesce(' ~ text('"' ~ column.name | lower ~ '"') ~ ' || length(' ~ value ~ ") || ':' || " ~ value ~ ", '')") %}
  {% endfor %}
  {% do return(digest(parts | join(" || '|' || "))) %}
{% endmacro %}
