{#- numerator / denominator; the default where either is NULL or the denominator is zero. -#}
{%- macro safe_divide(numerator, denominator, default='0.0') -%}
    coalesce(({{ numerator }})::double / nullif(({{ denominator }})::double, 0), {{ default }})
{%- endmacro -%}
