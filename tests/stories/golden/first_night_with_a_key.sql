alter session set query_tag = 'history_assets:fold:SHOP.ORDERS:2026-10-01', timestamp_input_format = 'AUTO', date_input_format = 'AUTO', timestamp_ntz_output_format = 'YYYY-MM-DD HH24:MI:SS.FF9';

select 'history' as fact, ordinal_position as position, column_name as name, case when data_type = 'NUMBER' then 'NUMBER(' || numeric_precision || ',' || numeric_scale || ')' when data_type = 'TEXT' then 'VARCHAR' when data_type like 'TIME%' then data_type || '(' || datetime_precision || ')' else data_type end as type
from "HISTORY".information_schema.columns
where table_schema = 'SHOP' and table_name = 'ORDERS' and column_name not in ('DBT_SCD_ID', 'DBT_UPDATED_AT', 'DBT_VALID_FROM', 'DBT_VALID_TO')
union all select 'entry', coalesce(max(entry), 0), cast(count(case when cutoff = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) then 1 end) as varchar), max(current_transaction())
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ORDERS'
union all select 'applied', 0, max(case when cutoff = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) then clone_id end), cast(min(case when cutoff > cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) then cutoff end) as varchar)
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ORDERS' and status = 'applied'
union all select 'quarantined', 0, max(problem), null
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ORDERS' and status = 'quarantined' and cutoff = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) and clone_id = 'clone of 2026-10-01'
union all select *
from (select 'before', row_count, key_columns, cast(duplicate_keys as varchar)
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ORDERS' and status = 'applied' and cutoff < cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) order by cutoff desc limit 1) as newest_before
union all select 'counts', number_of_rows, cast(duplicate_keys as varchar), cast(null_keys as varchar)
from (select coalesce(sum(copies), 0) as number_of_rows, count(case when copies > 1 then 1 end) as duplicate_keys, coalesce(sum(case when "ID" is null then copies end), 0) as null_keys
from (select "ID", count(*) as copies
from "CLONES"."SHOP__20261001"."ORDERS" group by "ID") as by_key) as counts order by 1, 2;

create table if not exists "HISTORY"."SHOP"."ORDERS" ("ID" NUMBER(38,0), "NOTE" VARCHAR, "_FIVETRAN_SYNCED" TIMESTAMP_TZ(9), dbt_scd_id varchar, dbt_updated_at timestamp_ntz(9), dbt_valid_from timestamp_ntz(9), dbt_valid_to timestamp_ntz(9));

begin;

merge into "HISTORY"."SHOP"."ORDERS" as history using ( with changes as ( select history.address, clone.there as is_new, 1 as copy, cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) as valid_from, cast(null as timestamp_ntz(9)) as valid_to, clone.synced, clone.v1 as v1, clone.v2 as v2
from ( select true as there, "_FIVETRAN_SYNCED" as synced, cast("ID" as NUMBER(38,0)) as v1, cast("NOTE" as VARCHAR) as v2
from "CLONES"."SHOP__20261001"."ORDERS" ) as clone
full join ( select dbt_scd_id as address, "ID" as v1, "NOTE" as v2
from "HISTORY"."SHOP"."ORDERS"
where dbt_valid_from <= cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)) and (dbt_valid_to is null or dbt_valid_to > cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9))) ) as history on clone.v1 is not distinct from history.v1
where clone.there is null or history.address is null or clone.v2 is distinct from history.v2 ) select address, null as row_id, null as valid_from, null as valid_to, cast(null as TIMESTAMP_TZ(9)) as synced, cast(null as NUMBER(38,0)) as v1, cast(null as VARCHAR) as v2
from changes
where address is not null
union all select null, sha2(concat(to_varchar(valid_from, 'YYYY-MM-DD HH24:MI:SS.FF9'), coalesce('|"ID__as_NUMBER_0"' || length(to_varchar(v1)) || ':' || to_varchar(v1), ''), coalesce('|"NOTE__as_VARCHAR"' || length(to_varchar(v2)) || ':' || to_varchar(v2), ''), ''), 256) || '-' || copy, valid_from, valid_to, synced, v1, v2
from changes
where is_new ) as change on history.dbt_scd_id = change.address
when matched then update set dbt_valid_to = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9))
when not matched and change.address is null then insert (dbt_scd_id, dbt_updated_at, dbt_valid_from, dbt_valid_to, "_FIVETRAN_SYNCED", "ID", "NOTE")
values (change.row_id, change.valid_from, change.valid_from, change.valid_to, change.synced, change.v1, change.v2);

insert into "HISTORY"."_history_assets"."applied" (schema_name, table_name, entry, clone_date, clone_id, cutoff, quiet_point, row_count, opened, closed, columns, key_columns, duplicate_keys, status, problem, time_zone, cutoff_time, unchanged, source_created, source_altered) select 'SHOP', 'ORDERS', 1, cast('2026-10-01' as date), 'clone of 2026-10-01', cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)), cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9)), 3, (select count(*)
from "HISTORY"."SHOP"."ORDERS"
where dbt_valid_from = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9))), (select count(*)
from "HISTORY"."SHOP"."ORDERS"
where dbt_valid_to = cast('2026-10-01 00:00:00.000000' as timestamp_ntz(9))), '[{"name": "ID", "type": "NUMBER(38,0)", "family": "NUMBER_0"}, {"name": "NOTE", "type": "VARCHAR", "family": "VARCHAR"}, {"name": "_FIVETRAN_SYNCED", "type": "TIMESTAMP_TZ(9)", "family": "TIMESTAMP_TZ"}]', '["ID"]', 0, 'applied', null, 'UTC', '00:00', false, cast('2026-09-30 20:00:00.000000' as timestamp_ntz(9)), cast('2026-10-02 20:00:00.000000' as timestamp_ntz(9))
from (select count(*) as entries
from "HISTORY"."_history_assets"."applied"
where schema_name = 'SHOP' and table_name = 'ORDERS' and entry > 0) as since
where entries = 0;

commit;
