{#- What one replay of this priority adds to the consolidation sum. -#}
{%- macro consolidation_gain(priority) -%}
    ({{ parameter('consolidation_rate') }} * {{ at_least(priority) }})
{%- endmacro -%}
