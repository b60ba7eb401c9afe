alter session set query_tag = 'history_assets:fold:SHOP.ORDERS:2026-10-02', timestamp_input_format = 'AUTO', date_input_format = 'AUTO', timestamp_ntz_output_format = 'YYYY-MM-DD HH24:MI:SS.FF9';

select 'history' as fact, ordinal_position as position, column_name as name, case when data_type = 'NUMBER' then 'NUMBER(' || numeric_precision || ',' || numeric_scale || ')' when data_type = 'TEXT' then 'VARCHAR' when data_type like 'TIME%' then data_type || '(' || datetime_precision || ')' else data_type end as type
from "HISTORY".information_schema.columns
where table_schema = 'SHOP' and table_name = 'ORDERS' and column_name not in ('DBT_SCD_ID', 'DBT_UPDATED_AT', 'DBT_VALID_FROM', 'DBT_VALID_TO')
union all select 'entry', coalesce(max(entry), 0), cast(count(case when cutoff = cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9)) then 1 end) as varchar), max(current_transaction())
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ORDERS'
union all select 'applied', 0, max(case when cutoff = cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9)) then clone_id end), cast(min(case when cutoff > cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9)) then cutoff end) as varchar)
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ORDERS' and status = 'applied'
union all select 'quarantined', 0, max(problem), null
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ORDERS' and status = 'quarantined' and cutoff = cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9)) and clone_id = 'clone of 2026-10-02'
union all select *
from (select 'before', row_count, key_columns, cast(duplicate_keys as varchar)
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ORDERS' and status = 'applied' and cutoff < cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9)) order by cutoff desc limit 1) as newest_before
union all select 'counts', number_of_rows, cast(duplicate_keys as varchar), cast(null_keys as varchar)
from (select coalesce(sum(copies), 0) as number_of_rows, count(case when copies > 1 then 1 end) as duplicate_keys, coalesce(sum(case when "ID" is null then copies end), 0) as null_keys
from (select "ID", count(*) as copies
from "CLONES"."SHOP__20261002"."ORDERS" group by "ID") as by_key) as counts order by 1, 2;

create or replace temporary table "HISTORY"."_history_assets"."changed_values" as select row_number() over (order by null) as value_id, sum(cloned) as copies, min(synced) as synced, v1, v2
from ( select 0 as cloned, 1 as kept, cast(null as TIMESTAMP_TZ(9)) as synced, "ID" as v1, "NOTE" as v2
from "HISTORY"."SHOP"."ORDERS"
where dbt_valid_from <= cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9)) and (dbt_valid_to is null or dbt_valid_to > cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9)))
union all select 1, 0, synced, v1, v2
from (select true as there, "_FIVETRAN_SYNCED" as synced, cast("ID" as NUMBER(38,0)) as v1, cast("NOTE" as VARCHAR) as v2
from "CLONES"."SHOP__20261002"."ORDERS") as clone ) as either group by v1, v2
having sum(cloned) <> sum(kept);

begin;

merge into "HISTORY"."SHOP"."ORDERS" as history using ( with changes as ( with touched as ( select changed_values.value_id, history.dbt_scd_id as address, history.dbt_valid_from as valid_from, coalesce(history.dbt_valid_to, cast('9999-12-31' as timestamp_ntz(9))) as valid_to, history."_FIVETRAN_SYNCED" as synced
from "HISTORY"."SHOP"."ORDERS" as history join "HISTORY"."_history_assets"."changed_values" as changed_values on history."ID" is not distinct from changed_values.v1 and history."NOTE" is not distinct from changed_values.v2 ), pieces as ( select value_id, valid_from, least(valid_to, cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9))) as valid_to, 1 as copies, synced
from touched
where valid_from < cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9))
union all select value_id, greatest(valid_from, cast('2026-10-03 00:00:00.000' as timestamp_ntz(9))) as valid_from, valid_to, 1 as copies, synced
from touched
where valid_to > cast('2026-10-03 00:00:00.000' as timestamp_ntz(9))
union all select value_id, cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9)), cast('2026-10-03 00:00:00.000' as timestamp_ntz(9)), copies, synced
from "HISTORY"."_history_assets"."changed_values" as changed_values
where copies > 0 ), steps as ( select value_id, moment, sum(step) as step
from ( select value_id, valid_from as moment, copies as step
from pieces
union all select value_id, valid_to, -copies
from pieces ) as edges group by value_id, moment
having sum(step) <> 0 ), levels as ( select value_id, moment as valid_from, lead(moment) over (partition by value_id order by moment) as valid_to, sum(step) over (partition by value_id order by moment) as copies
from steps ), stretches as ( select levels.value_id, cast(numbers.value as integer) as copy, levels.valid_from, levels.valid_to
from levels as levels, lateral flatten(input => array_generate_range(1, levels.copies + 1)) as numbers ), begun as ( select value_id, copy, valid_from, valid_to, case when lag(valid_to) over (partition by value_id, copy order by valid_from) = valid_from then 0 else 1 end as begins
from stretches ), numbered as ( select value_id, copy, valid_from, valid_to, sum(begins) over (partition by value_id, copy order by valid_from) as island
from begun ), intervals as ( select value_id, copy, min(valid_from) as valid_from, max(valid_to) as valid_to
from numbered group by value_id, copy, island ), seen as ( select intervals.value_id, intervals.copy, intervals.valid_from, intervals.valid_to, min(pieces.synced) as synced
from intervals join pieces on pieces.value_id = intervals.value_id and pieces.valid_from < intervals.valid_to and pieces.valid_to > intervals.valid_from group by intervals.value_id, intervals.copy, intervals.valid_from, intervals.valid_to ) select address, false as is_new, 0 as copy, valid_from, valid_to, synced, cast(null as NUMBER(38,0)) as v1, cast(null as VARCHAR) as v2
from touched
union all select null, true, seen.copy, seen.valid_from, nullif(seen.valid_to, cast('9999-12-31' as timestamp_ntz(9))), seen.synced, v1, v2
from seen join "HISTORY"."_history_assets"."changed_values" as changed_values on changed_values.value_id = seen.value_id ) select address, null as row_id, null as valid_from, null as valid_to, cast(null as TIMESTAMP_TZ(9)) as synced, cast(null as NUMBER(38,0)) as v1, cast(null as VARCHAR) as v2
from changes
where address is not null
union all select null, sha2(concat(to_varchar(valid_from, 'YYYY-MM-DD HH24:MI:SS.FF9'), coalesce('|"ID__as_NUMBER_0"' || length(to_varchar(v1)) || ':' || to_varchar(v1), ''), coalesce('|"NOTE__as_VARCHAR"' || length(to_varchar(v2)) || ':' || to_varchar(v2), ''), ''), 256) || '-' || copy, valid_from, valid_to, synced, v1, v2
from changes
where is_new ) as change on history.dbt_scd_id = change.address
when matched then delete
when not matched and change.address is null then insert (dbt_scd_id, dbt_updated_at, dbt_valid_from, dbt_valid_to, "_FIVETRAN_SYNCED", "ID", "NOTE")
values (change.row_id, change.valid_from, change.valid_from, change.valid_to, change.synced, change.v1, change.v2);

insert into "HISTORY"."_history_assets"."applied" (schema_name, table_name, entry, clone_date, clone_id, cutoff, quiet_point, row_count, opened, closed, columns, key_columns, duplicate_keys, status, problem, time_zone, cutoff_time, unchanged, source_created, source_altered) select 'SHOP', 'ORDERS', 3, cast('2026-10-02' as date), 'clone of 2026-10-02', cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9)), cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9)), 3, (select count(*)
from "HISTORY"."SHOP"."ORDERS"
where dbt_valid_from = cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9))), (select count(*)
from "HISTORY"."SHOP"."ORDERS"
where dbt_valid_to = cast('2026-10-02 00:00:00.000000' as timestamp_ntz(9))), '[{"name": "ID", "type": "NUMBER(38,0)", "family": "NUMBER_0"}, {"name": "NOTE", "type": "VARCHAR", "family": "VARCHAR"}, {"name": "_FIVETRAN_SYNCED", "type": "TIMESTAMP_TZ(9)", "family": "TIMESTAMP_TZ"}]', '["ID"]', 0, 'applied', null, 'UTC', '00:00', false, cast('2026-09-30 20:00:00.000000' as timestamp_ntz(9)), cast('2026-10-02 20:00:00.000000' as timestamp_ntz(9))
from (select count(*) as entries
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ORDERS' and entry > 2) as since
where entries = 0;

commit;
