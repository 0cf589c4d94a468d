{#- Strength of an association, in [0, 1): 1 - exp(-H). -#}
{%- macro calculate_hebbian_strength(trace) -%}
    (1e0 - exp(-coalesce({{ at_least(trace) }}, 0e0)))
{%- endmacro -%}
