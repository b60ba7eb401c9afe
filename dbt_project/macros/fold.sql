{#- The history on [this cutoff, next applied cutoff) becomes the clone's rows, in maximal intervals of equal whole rows.

    Rows are values, each with a number of copies; their identity is every column but _fivetran_synced, NULLs and all. Copy k of
    a value is there while its copies number at least k, which makes the result the same whatever the order of the nights. -#}

{#- The newest night of a table whose key tells rows apart in clone and history alike: rows are met by key, those that differ
    are closed and opened, and nothing else is looked at. -#}
{% macro fold_newest(relation, facts, columns, key, counts) %}
  {% set history = history_table(relation) %}
  {% set at = cutoff_of_run() %}
  {% set compared = compared_of(columns) %}
  {% set synced = synced_of(columns) %}
  {% set held_key = history_names({'clone': facts.clone, 'history': columns}, key) %}
  {% do run_query(differing_rows(history, clone_table(relation), columns, compared, synced, held_key, at)) %}
  {% do apply([
      close_gone(history, compared, held_key, at),
      open_new(history, compared, synced, at),
      ledger_row(relation, facts, 'applied', key, counts, opened_in(history), closed_in(history))]) %}
{% endmacro %}

{% macro differing_rows(history, clone, columns, compared, synced, key, at) %}
  {% set met = [] %}
  {% set differ = ['clone.there is null', 'history.there is null'] %}
  {% set values = [] %}
  {% for column in compared %}
    {% set ours, theirs = 'clone.v' ~ loop.index, 'history.v' ~ loop.index %}
    {% if column.name in key %}
      {% do met.append(ours ~ ' is not distinct from ' ~ theirs) %}
      {% do values.append('coalesce(' ~ ours ~ ', ' ~ theirs ~ ') as v' ~ loop.index) %}
    {% else %}
      {% do differ.append(ours ~ ' is distinct from ' ~ theirs) %}
      {% do values.append(ours) %}
    {% endif %}
  {% endfor %}
  create or replace temporary table differing_rows as
  select clone.there as is_new, history.there as is_gone, {{ 'clone.synced' if synced else 'null' }} as synced,
         {{ values | join(', ') }}
  from (
    select true as there{{ values_of_clone(compared) }}{{ ', ' ~ synced_value(synced) ~ ' as synced' if synced }}
    from {{ clone }}
  ) as clone
  full join (
    select true as there{{ values_of_history(compared) }}
    from {{ history }} where {{ open_at(at) }}
  ) as history
  on {{ met | join(' and ') }}
  where {{ differ | join(' or ') }}
{% endmacro %}

{% macro close_gone(history, compared, key, at) %}
  {% set met = ['history.dbt_valid_to is null', 'differing_rows.is_gone'] %}
  {% for column in compared if column.name in key %}
    {% do met.append('history.' ~ quoted(column.name) ~ ' is not distinct from differing_rows.v' ~ (compared.index(column) + 1)) %}
  {% endfor %}
  update {{ history }} as history set dbt_valid_to = {{ at }}
  from differing_rows where {{ met | join(' and ') }}
{% endmacro %}

{% macro open_new(history, compared, synced, at) %}
  insert into {{ history }} ({{ stored_names(compared, synced) }})
  select {% for column in compared %}v{{ loop.index }}, {% endfor %}{{ 'synced, ' if synced }}
         {{ row_id(compared, at, '1') }}, {{ at }}, {{ at }}, null
  from differing_rows where is_new
{% endmacro %}

{#- Any night of any table. Only values whose number of copies differs between clone and history are touched: their intervals
    are cut at the two cutoffs, the clone's copies are put between, and what then adjoins is joined again. By force, every value
    that the history has on the stretch is touched, whatever it says. -#}
{% macro fold_anywhere(relation, facts, columns, key, counts, force) %}
  {% set history = history_table(relation) %}
  {% set clone = clone_table(relation) if facts.clone else none %}
  {% set at = cutoff_of_run() %}
  {% set until = instant(facts.next_cutoff) if facts.next_cutoff else forever() %}
  {% set compared = compared_of(columns) %}
  {% set synced = synced_of(columns) %}
  {% do run_query(changed_values(history, clone, compared, synced, at, until, force, facts.is_first)) %}
  {% do run_query(touched_intervals(history, compared, synced)) %}
  {% set broken = ['delete from ' ~ history ~ ' where dbt_valid_from is null or dbt_valid_from >= dbt_valid_to'] %}
  {% do apply((broken if force else []) + [
      'delete from ' ~ history ~ ' as history using changed_values where ' ~ same_value(compared),
      new_intervals(history, compared, synced, at, until, facts.is_first and force),
      ledger_row(relation, facts, 'applied', key, counts, opened_in(history), closed_in(history))]) %}
{% endmacro %}

{% macro forever() %}
  {%- do return(instant('9999-12-31')) -%}
{% endmacro %}

{#- A clone's value for a column of the history, typed as the history has it; NULL where the clone lacks the column. -#}
{% macro clone_value(column) %}
  {%- do return('cast(' ~ (quoted(column.clone) if column.clone else 'null') ~ ' as ' ~ column.type ~ ')') -%}
{% endmacro %}

{#- Fivetran's stamp, in the type that the history has had it in from the first; one that does not fit is left out. -#}
{% macro synced_value(column) %}
  {%- do return(
      dbt.safe_cast(quoted(column.clone), column.type) if column.clone else 'cast(null as ' ~ column.type ~ ')') -%}
{% endmacro %}

{#- Values are named v1, v2, ... so that no column's own name can collide. -#}
{% macro values_of_clone(compared) %}
  {%- for column in compared %}, {{ clone_value(column) }} as v{{ loop.index }}{% endfor -%}
{% endmacro %}

{% macro values_of_history(compared) %}
  {%- for column in compared %}, {{ quoted(column.name) }} as v{{ loop.index }}{% endfor -%}
{% endmacro %}

{% macro stored_names(compared, synced) %}
  {%- for column in compared %}{{ quoted(column.name) }}, {% endfor -%}
  {{ quoted(synced.name) ~ ', ' if synced }}dbt_scd_id, dbt_updated_at, dbt_valid_from, dbt_valid_to
{%- endmacro %}

{% macro same_value(compared) %}
  {% set equal = ['true'] %}
  {% for column in compared %}
    {% do equal.append('history.' ~ quoted(column.name) ~ ' is not distinct from changed_values.v' ~ loop.index) %}
  {% endfor %}
  {% do return(equal | join(' and ')) %}
{% endmacro %}

{#- Rows that the history has anywhere on the stretch; on the first, also those before it, which no night explains. -#}
{% macro on_stretch(at, until, is_first) %}
  {%- do return('dbt_valid_from < ' ~ until ~ ('' if is_first else ' and (dbt_valid_to is null or dbt_valid_to >= ' ~ at ~ ')')) -%}
{% endmacro %}

{% macro changed_values(history, clone, compared, synced, at, until, force, is_first) %}
  create or replace temporary table changed_values as
  select row_number() over () as value_id, sum(cloned) as copies,
         {{ 'min(synced)' if synced else 'null' }} as synced
         {%- for column in compared %}, v{{ loop.index }}{% endfor %}
  from (
    select 0 as cloned, 1 as kept{{ values_of_history(compared) }}
           {{- ', cast(null as ' ~ synced.type ~ ') as synced' if synced }}
    from {{ history }}
    where {{ on_stretch(at, until, is_first) if force else open_at(at) }}
    {%- if clone %}
    union all
    select 1, 0{{ values_of_clone(compared) }}{{ ', ' ~ synced_value(synced) if synced }}
    from {{ clone }}
    {%- endif %}
  ) as either
  group by {% for column in compared %}v{{ loop.index }}{{ ', ' if not loop.last }}{% else %}true{% endfor %}
  {{ 'having sum(cloned) <> sum(kept)' if not force }}
{% endmacro %}

{#- Every interval, past and present, of those values. -#}
{% macro touched_intervals(history, compared, synced) %}
  create or replace temporary table touched_intervals as
  select changed_values.value_id, history.dbt_valid_from as valid_from,
         coalesce(history.dbt_valid_to, {{ forever() }}) as valid_to,
         {{ 'history.' ~ quoted(synced.name) if synced else 'null' }} as synced
  from {{ history }} as history join changed_values on {{ same_value(compared) }}
{% endmacro %}

{% macro new_intervals(history, compared, synced, at, until, nothing_before) %}
  insert into {{ history }} ({{ stored_names(compared, synced) }})
  with pieces as (
    {% if not nothing_before -%}
    select value_id, valid_from, least(valid_to, {{ at }}) as valid_to, 1 as copies, synced
    from touched_intervals where valid_from < {{ at }} and valid_from < valid_to
    union all
    {% endif -%}
    select value_id, greatest(valid_from, {{ until }}) as valid_from, valid_to, 1 as copies, synced
    from touched_intervals where valid_to > {{ until }} and valid_from < valid_to
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
    select value_id, moment as valid_from,
           lead(moment) over (partition by value_id order by moment) as valid_to,
           sum(step) over (partition by value_id order by moment) as copies
    from steps
  ),
  stretches as (
    select levels.value_id, numbers.number as copy, levels.valid_from, levels.valid_to
    from levels join {{ numbers_up_to('(select max(copies) from levels)') }} as numbers on numbers.number <= levels.copies
  ),
  begun as (
    select *, case when lag(valid_to) over (partition by value_id, copy order by valid_from) = valid_from then 0 else 1 end as begins
    from stretches
  ),
  numbered as (
    select *, sum(begins) over (partition by value_id, copy order by valid_from) as island from begun
  ),
  intervals as (
    select value_id, copy, min(valid_from) as valid_from, max(valid_to) as valid_to
    from numbered group by value_id, copy, island
  ),
  seen as (
    -- The earliest that was seen, so that no past day shows a later sync.
    select intervals.value_id, intervals.copy, intervals.valid_from, intervals.valid_to, min(pieces.synced) as synced
    from intervals join pieces on pieces.value_id = intervals.value_id
      and pieces.valid_from < intervals.valid_to and pieces.valid_to > intervals.valid_from
    group by intervals.value_id, intervals.copy, intervals.valid_from, intervals.valid_to
  )
  select
    {%- for column in compared %} v{{ loop.index }},{% endfor %}
    {{ 'seen.synced, ' if synced }}
    {{ row_id(compared, 'seen.valid_from', 'seen.copy') }}, seen.valid_from, seen.valid_from,
    nullif(seen.valid_to, {{ forever() }})
  from seen join changed_values on changed_values.value_id = seen.value_id
{% endmacro %}

{#- An identifier that is injective in row, beginning and copy. NULLs are left out, so that a column that comes later changes
    no identifier; every value says its length, so that no two rows run together; a value is written as the widest type of its
    family writes it, so that a column that is widened later changes none either. -#}
{% macro row_id(compared, valid_from, copy) %}
  {% set parts = ['cast(' ~ valid_from ~ ' as varchar)', "'|'", 'cast(' ~ copy ~ ' as varchar)'] %}
  {% set labels = {} %}
  {% for column in compared %}{% do labels.update({label(column): loop.index}) %}{% endfor %}
  {% for name in labels | sort %}
    {% set value = written('v' ~ labels[name], compared[labels[name] - 1].type) %}
    {% do parts.append('coalesce(' ~ text('|"' ~ name ~ '"') ~ ' || length(' ~ value ~ ") || ':' || " ~ value ~ ", '')") %}
  {% endfor %}
  {% do return(digest('concat(' ~ parts | join(', ') ~ ')')) %}
{% endmacro %}
