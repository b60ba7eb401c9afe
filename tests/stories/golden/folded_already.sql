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
