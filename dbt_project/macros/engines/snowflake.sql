{#- What only Snowflake says in its own way. -#}

{#- A quoted name is exact. -#}
{% macro snowflake__all_folded(names) %}
  {% do return(names) %}
{% endmacro %}

{#- A backslash escapes too. -#}
{% macro snowflake__all_texts(values) %}
  {% set found = [] %}
  {% for value in values %}
    {% do found.append("'" ~ value | replace('\\', '\\\\') | replace("'", "''") ~ "'") %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}

{% macro snowflake__instant_type() %}
  {%- do return('timestamp_ntz(9)') -%}
{% endmacro %}

{#- TRY_CAST takes text alone. -#}
{% macro snowflake__loosely(value, type) %}
  {%- do return('try_cast(to_varchar(' ~ value ~ ') as ' ~ type ~ ')') -%}
{% endmacro %}

{#- One statement, since each is a round trip. -#}
{% macro snowflake__change_history(history, changes, how, at, compared, synced) %}
  {% set names = ['valid_from', 'valid_to'] + (['synced'] if synced else []) %}
  {% set nothing = ['null', 'null', 'null'] + ([no_stamp(synced)] if synced else []) %}
  {% set brought = [] %}
  {% for column in compared %}
    {% do names.append('v' ~ loop.index) %}
    {% do nothing.append('cast(null as ' ~ column.type ~ ')') %}
  {% endfor %}
  {% for name in names %}{% do brought.append('change.' ~ name) %}{% endfor %}
  {% do return([
      'merge into ' ~ history ~ ' as history using (\nwith changes as (' ~ changes ~ ')\n'
      ~ 'select address, ' ~ nothing[0] ~ ' as row_id' ~ snowflake__named(nothing[1:], names) ~ ' from changes where address is not null\n'
      ~ 'union all\nselect null, ' ~ row_id(compared, 'valid_from', 'copy') ~ ', ' ~ names | join(', ') ~ ' from changes where is_new\n'
      ~ ') as change on history.dbt_scd_id = change.address\n'
      ~ 'when matched then ' ~ ('update set dbt_valid_to = ' ~ at if how == 'update' else 'delete')
      ~ '\nwhen not matched and change.address is null then insert (' ~ stored_names(compared, synced) ~ ')\n'
      ~ 'values (change.row_id, change.valid_from, ' ~ brought | join(', ') ~ ')']) %}
{% endmacro %}

{% macro snowflake__named(values, names) %}
  {%- for value in values %}, {{ value }} as {{ names[loop.index0] }}{% endfor -%}
{% endmacro %}

{#- Rows have no address of their own, so that their identifiers are theirs. -#}
{% macro snowflake__address() %}
  {%- do return('dbt_scd_id') -%}
{% endmacro %}

{% macro snowflake__give_addresses(history) %}
  {% do return([
      'update ' ~ history ~ ' set dbt_scd_id = uuid_string() where dbt_scd_id is null or dbt_scd_id in '
      ~ '(select dbt_scd_id from ' ~ history ~ ' group by dbt_scd_id having count(*) > 1)']) %}
{% endmacro %}

{% macro snowflake__changed_table() %}
  {%- do return(all_quoted([target.database, '_history_assets', 'changed_values']) | join('.')) -%}
{% endmacro %}

{#- What a statement costs can be traced to the table and night that it was for; and instants are written and read exactly,
    whatever formats the account or the user prefers. -#}
{% macro snowflake__opening(relation, run) %}
  {% set query_tag = 'history_assets:fold:' ~ relation.schema ~ '.' ~ relation.identifier ~ ':' ~ run.date %}
  {% do return([
      'alter session set query_tag = ' ~ text(query_tag[:2000]) ~ ", timestamp_input_format = 'AUTO', date_input_format = 'AUTO', "
      ~ "timestamp_ntz_output_format = 'YYYY-MM-DD HH24:MI:SS.FF9'"]) %}
{% endmacro %}

{#- A session outlives the node that failed in it, and with it the transaction that it left open. -#}
{% macro snowflake__current_transaction() %}
  {%- do return('max(current_transaction())') -%}
{% endmacro %}

{% macro snowflake__begin_night(run) %}
{% endmacro %}

{% macro snowflake__clone_of(relation, run) %}
  {% do return(api.Relation.create(
      database=env_var('HISTORY_CLONE_DATABASE'), schema=run['schemas'][relation.schema]['location'], identifier=relation.identifier)) %}
{% endmacro %}

{% macro snowflake__history_columns(relation) %}
  {% set texts = all_texts([relation.schema, relation.identifier]) %}
  {% do return(
      "select 'history' as fact, ordinal_position as position, column_name as name, case "
      ~ "when data_type = 'NUMBER' then 'NUMBER(' || numeric_precision || ',' || numeric_scale || ')' "
      ~ "when data_type = 'TEXT' then 'VARCHAR' "
      ~ "when data_type like 'TIME%' then data_type || '(' || datetime_precision || ')' else data_type end as type "
      ~ 'from ' ~ quoted(relation.database) ~ '.information_schema.columns '
      ~ 'where table_schema = ' ~ texts[0] ~ ' and table_name = ' ~ texts[1]
      ~ " and column_name not in ('DBT_SCD_ID', 'DBT_UPDATED_AT', 'DBT_VALID_FROM', 'DBT_VALID_TO')") %}
{% endmacro %}

{#- Numbers of one scale, and instants of one kind, each stored as wide as there is. -#}
{% macro snowflake__families_of(types) %}
  {% set found = [] %}
  {% for type in types %}
    {% if type.startswith('NUMBER(') %}{% do found.append('NUMBER_' ~ type[:-1].split(',')[1]) %}
    {% else %}{% do found.append(type.split('(')[0]) %}
    {% endif %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}

{% macro snowflake__stored_types(types) %}
  {% set found = [] %}
  {% for type in types %}
    {% if type.startswith('NUMBER(') %}{% do found.append('NUMBER(38,' ~ type.split(',')[1]) %}
    {% elif type.startswith('TIME') %}{% do found.append(type.split('(')[0] ~ '(9)') %}
    {% else %}{% do found.append(type) %}
    {% endif %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}

{% macro snowflake__wider_type(one, other) %}
  {% do return(one) %}
{% endmacro %}

{#- How a number of binary digits is written leaves some of them out; what it differs by says them. -#}
{% macro snowflake__all_written(values, types) %}
  {% set found = [] %}
  {% for value in values %}
    {% set type = types[loop.index0] | upper %}
    {% if type == 'FLOAT' %}
      {% do found.append('to_varchar(' ~ value ~ ") || '~' || to_varchar(" ~ value ~ ' - to_double(to_varchar(' ~ value ~ ')))') %}
    {% elif type in ('VARIANT', 'OBJECT', 'ARRAY') %}{% do found.append('to_json(' ~ value ~ ')') %}
    {% elif type == 'BINARY' %}{% do found.append('hex_encode(' ~ value ~ ')') %}
    {% elif type.startswith('TIMESTAMP_NTZ') %}
      {% do found.append('to_varchar(' ~ value ~ ", 'YYYY-MM-DD HH24:MI:SS.FF9')") %}
    {% elif type.startswith('TIMESTAMP_') %}
      {% do found.append('to_varchar(' ~ value ~ ", 'YYYY-MM-DD HH24:MI:SS.FF9 TZHTZM')") %}
    {% elif type.startswith('TIME(') %}{% do found.append('to_varchar(' ~ value ~ ", 'HH24:MI:SS.FF9')") %}
    {% elif type == 'DATE' %}{% do found.append('to_varchar(' ~ value ~ ", 'YYYY-MM-DD')") %}
    {% else %}{% do found.append('to_varchar(' ~ value ~ ')') %}
    {% endif %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}

{% macro snowflake__digest(expression) %}
  {%- do return('sha2(' ~ expression ~ ', 256)') -%}
{% endmacro %}

{% macro snowflake__each_copy(levels) %}
  {%- do return(
      'select levels.value_id, cast(numbers.value as integer) as copy, levels.valid_from, levels.valid_to from ' ~ levels
      ~ ' as levels, lateral flatten(input => array_generate_range(1, levels.copies + 1)) as numbers') -%}
{% endmacro %}

{#- dbt-snowflake's own does not double a quote inside a name. -#}
{% macro snowflake__create_schema(relation) %}
  {% do run_query('create schema if not exists ' ~ quoted(relation.database) ~ '.' ~ quoted(relation.schema)) %}
{% endmacro %}
