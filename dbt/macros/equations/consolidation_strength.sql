{#- How far a memory is consolidated, in [0, 1): 1 - exp(-K); a memory never replayed has 0. -#}
{%- macro consolidation_strength(consolidation_sum) -%}
    (1e0 - exp(-coalesce({{ at_least(consolidation_sum) }}, 0e0)))
{%- endmacro -%}
