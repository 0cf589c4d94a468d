{#- A link's strength relative to its memory's mean link, which comes out at exactly the target. -#}
{%- macro synaptic_homeostasis(trace, mean_trace) -%}
    {%- set target = parameter('homeostasis_target') -%}
    {{ safe_divide(
        'coalesce(' ~ trace ~ ', 0e0)',
        '(coalesce(' ~ trace ~ ', 0e0) + coalesce(' ~ mean_trace ~ ', 0e0) * ((1e0 - ' ~ target ~ ') / ' ~ target ~ '))',
        '0e0'
    ) }}
{%- endmacro -%}
