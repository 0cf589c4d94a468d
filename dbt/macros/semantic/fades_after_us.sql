{#
    Microseconds until the strength 1 - exp(-H) of a trace falls to `strength` if nothing renews it, at most 1,000
    years; 0 when it lies there already, null when it never does (a strength or a decay of 0). The inverse of
    calculate_hebbian_strength after synaptic_decay.
    trace: H > 0; strength: in [0, 1)
#}
{% macro fades_after_us(trace, strength) -%}
{%- set distance = 'ln(' ~ trace ~ ' / nullif(-ln(1e0 - ' ~ strength ~ '), 0e0))' -%}
(case
    when {{ distance }} <= 0 then 0
    when {{ distance }} > 0 and {{ parameter('synaptic_decay_rate') }} > 0
        then cast(ceil(least(3.15576e16, {{ distance }} / {{ parameter('synaptic_decay_rate') }} * 36e8)) as bigint)
end)
{%- endmacro %}
