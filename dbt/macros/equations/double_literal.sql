{#- A number known while rendering as a DOUBLE literal that reads back exactly. -#}
{%- macro double_literal(value) -%}
    {%- set digits = value | float | string -%}
    {{ digits if 'e' in digits else digits ~ 'e0' }}
{%- endmacro -%}
