{#- What is left of a trace after so many hours; a missing trace is none. -#}
{%- macro synaptic_decay(trace, hours) -%}
    (coalesce({{ trace }}, 0e0) * exp(-{{ parameter('synaptic_decay_rate') }} * {{ at_least(hours) }}))
{%- endmacro -%}
