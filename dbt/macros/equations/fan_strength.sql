{#- Activation that one cue lends to each of the `fan` memories it leads to, at least 0 (Anderson 1974). -#}
{%- macro fan_strength(fan) -%}
    {{ at_least(parameter('association_ceiling') ~ ' - ln(' ~ at_least('(' ~ fan ~ ')::double', '1e0') ~ ')') }}
{%- endmacro -%}
