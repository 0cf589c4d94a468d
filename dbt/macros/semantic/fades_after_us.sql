{#
    Microseconds until the strength 1 - exp(-H) of a trace falls to `strength` if nothing renews it, at most 1,000
    years; 0 when it lies there already, null when it never does. The inverse of calculate_hebbian_strength after
    synaptic_decay.
    trace: H > 0; strength: in [0, 1)
#}
{% macro fades_after_us(trace, strength) -%}
cast(ceil(least(
    3.15576e16,
    greatest(0e0, ln({{ trace }} / nullif(-ln(1e0 - {{ strength }}), 0e0)))
    / nullif({{ parameter('synaptic_decay_rate') }}, 0e0) * 36e8
)) as bigint)
{%- endmacro %}
