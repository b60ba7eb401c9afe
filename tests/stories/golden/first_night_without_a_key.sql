alter session set query_tag = 'history_assets:fold:SHOP.ITEMS:2026-10-01', timestamp_input_format = 'AUTO', date_input_format = 'AUTO', timestamp_ntz_output_format = 'YYYY-MM-DD HH24:MI:SS.FF9';

select 'history' as fact, ordinal_position as position, column_name as name, case when data_type = 'NUMBER' then 'NUMBER(' || numeric_precision || ',' || numeric_scale || ')' when data_type = 'TEXT' then 'VARCHAR' when data_type like 'TIME%' then data_type || '(' || datetime_precision || ')' else data_type end as type
from "HISTORY".information_schema.columns
where table_schema = 'SHOP' and table_name = 'ITEMS' and column_name not in ('DBT_SCD_ID', 'DBT_UPDATED_AT', 'DBT_VALID_FROM', 'DBT_VALID_TO')
union all select 'entry', coalesce(max(entry), 0), cast(count(case when cutoff = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) then 1 end) as varchar), max(current_transaction())
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ITEMS'
union all select 'applied', 0, max(case when cutoff = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) then clone_id end), cast(min(case when cutoff > cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) then cutoff end) as varchar)
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ITEMS' and status = 'applied'
union all select 'quarantined', 0, max(problem), null
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ITEMS' and status = 'quarantined' and cutoff = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) and clone_id = 'clone of 2026-10-01'
union all select *
from (select 'before', row_count, key_columns, cast(duplicate_keys as varchar)
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ITEMS' and status = 'applied' and cutoff < cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) order by cutoff desc limit 1) as newest_before
union all select 'counts', number_of_rows, cast(duplicate_keys as varchar), cast(null_keys as varchar)
from (select count(*) as number_of_rows, 0 as duplicate_keys, 0 as null_keys
from "CLONES"."SHOP__20261001"."ITEMS") as counts order by 1, 2;

create table if not exists "HISTORY"."SHOP"."ITEMS" ("SKU" VARCHAR, "_FIVETRAN_SYNCED" TIMESTAMP_TZ(9), dbt_scd_id varchar, dbt_updated_at timestamp_ntz(9), dbt_valid_from timestamp_ntz(9), dbt_valid_to timestamp_ntz(9));

begin;

merge into "HISTORY"."SHOP"."ITEMS" as history using ( with changes as ( select history.address, clone.there as is_new, clone.copy, cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) as valid_from, cast(null as timestamp_ntz(9)) as valid_to, clone.synced, clone.v1 as v1
from ( select *, row_number() over (partition by v1 order by synced) as copy
from ( select true as there, "_FIVETRAN_SYNCED" as synced, cast("SKU" as VARCHAR) as v1
from "CLONES"."SHOP__20261001"."ITEMS" ) as cloned ) as clone
full join ( select *, row_number() over (partition by v1 order by dbt_valid_from, length(dbt_scd_id), dbt_scd_id) as copy
from ( select dbt_scd_id as address, dbt_scd_id, dbt_valid_from, "SKU" as v1
from "HISTORY"."SHOP"."ITEMS"
where dbt_valid_from <= cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) and (dbt_valid_to is null or dbt_valid_to > cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9))) ) as open_rows ) as history on clone.v1 is not distinct from history.v1 and clone.copy = history.copy
where clone.there is null or history.address is null ) select address, null as row_id, null as valid_from, null as valid_to, cast(null as TIMESTAMP_TZ(9)) as synced, cast(null as VARCHAR) as v1
from changes
where address is not null
union all select null, sha2(concat(to_varchar(valid_from, 'YYYY-MM-DD HH24:MI:SS.FF9'), coalesce('|"SKU__as_VARCHAR"' || length(to_varchar(v1)) || ':' || to_varchar(v1), ''), ''), 256) || '-' || copy, valid_from, valid_to, synced, v1
from changes
where is_new ) as change on history.dbt_scd_id = change.address
when matched then update set dbt_valid_to = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9))
when not matched and change.address is null then insert (dbt_scd_id, dbt_updated_at, dbt_valid_from, dbt_valid_to, "_FIVETRAN_SYNCED", "SKU")
values (change.row_id, change.valid_from, change.valid_from, change.valid_to, change.synced, change.v1);

insert into "HISTORY"."_history_assets"."applied" (schema_name, table_name, entry, clone_date, clone_id, cutoff, quiet_point, row_count, opened, closed, columns, key_columns, duplicate_keys, status, problem, time_zone, cutoff_time, unchanged, source_created, source_altered) select 'SHOP', 'ITEMS', 1, cast('2026-10-01' as date), 'clone of 2026-10-01', cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)), cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)), 2, (select count(*)
from "HISTORY"."SHOP"."ITEMS"
where dbt_valid_from = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9))), (select count(*)
from "HISTORY"."SHOP"."ITEMS"
where dbt_valid_to = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9))), '[{"name": "SKU", "type": "VARCHAR", "family": "VARCHAR"}, {"name": "_FIVETRAN_SYNCED", "type": "TIMESTAMP_TZ(9)", "family": "TIMESTAMP_TZ"}]', '[]', 0, 'applied', null, 'UTC', '00:00', false, cast('2026-09-30 20:00:00.000000' as timestamp_ntz(9)), cast('2026-10-02 20:00:00.000000' as timestamp_ntz(9))
from (select count(*) as entries
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ITEMS' and entry > 0) as since
where entries = 0;

commit;
