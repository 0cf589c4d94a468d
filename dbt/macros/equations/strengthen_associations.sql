{#- The trace after one more co-activation in [0, 1]: H + eta * c; a missing trace is none. -#}
{%- macro strengthen_associations(trace, coactivation) -%}
    (coalesce({{ trace }}, 0e0) + {{ parameter('hebbian_learning_rate') }} * coalesce({{ clamp(coactivation) }}, 0e0))
{%- endmacro -%}
