{#- A parameter (var) as a DOUBLE literal: DuckDB would take a bare .1542 for a DECIMAL and round where Python does not. -#}
{%- macro parameter(name) -%}
    {{ double_literal(var(name)) }}
{%- endmacro -%}
