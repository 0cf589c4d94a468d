{#
    The first weekly homeostasis at or after an instant: Sunday 03:00 in the time zone of nights, whether or not a run
    was there. Both in microseconds since the epoch; null when the instant is null.
#}
{% macro week_start_at_or_after(instant_us) -%}
{%- set day = local_day('(' ~ instant_us ~ ') - 10800000001') -%}
{{ local_day_start_us(day ~ ' - ((' ~ day ~ ' + 4) % 7 + 7) % 7 + 7', 3) }}
{%- endmacro %}
