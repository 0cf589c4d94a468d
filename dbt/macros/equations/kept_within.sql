{#- How many of an agent's memories the budget keeps: a share of them rounded up, or a count; NULL without a budget. -#}
{%- macro kept_within(memories) -%}
    {%- set budget = var('memory_budget') -%}
    {%- if budget is none -%}
    cast(null as double)
    {%- elif budget is integer -%}
    least(({{ memories }})::double, {{ double_literal(budget) }})
    {%- else -%}
    ceil(({{ memories }}) * {{ double_literal(budget) }} - 1e-9)
    {%- endif -%}
{%- endmacro -%}
