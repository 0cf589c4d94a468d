{#
    Seconds from one instant to another, exact to the microsecond (a difference of two epochs in floating point is not).
    Null when either is null.
#}
{% macro elapsed_s(since, until) -%}
((epoch_us({{ until }}) - epoch_us({{ since }})) / 1e6)
{%- endmacro %}
