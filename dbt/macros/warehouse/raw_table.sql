{#
    A pulled table, or an empty one of the declared columns where nothing was pulled into this warehouse yet: every
    build works on a fresh file, and only the pull ever creates raw tables.
#}
{% macro raw_table(name) -%}
{%- set relation = source('raw', name) -%}
{%- if not execute or load_relation(relation) is not none -%}
{{ relation }}
{%- else -%}
{%- set declared = graph.sources.values() | selectattr('source_name', 'equalto', 'raw')
    | selectattr('name', 'equalto', name) | first -%}
(
    select
    {%- for column in declared.columns.values() %}
        cast(null as {{ column.data_type }}) as {{ column.name }}{{ ',' if not loop.last }}
    {%- endfor %}
    where false
)
{%- endif -%}
{%- endmacro %}
