{#
    A model of a later stage, or an empty set of the named columns while that stage has never run.
    `columns` is a mapping of name to data type. The caller names the dependency in a comment (depends_on) where a
    plain ref would close a circle of stages.
#}
{% macro ref_if_built(relation, columns) -%}
{%- if execute and load_relation(relation) is not none -%}
{{ relation }}
{%- else -%}
(
    select
    {%- for name, data_type in columns.items() %}
        cast(null as {{ data_type }}) as {{ name }}{{ ',' if not loop.last }}
    {%- endfor %}
    where false
)
{%- endif -%}
{%- endmacro %}
