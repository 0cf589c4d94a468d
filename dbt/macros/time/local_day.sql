{#
    The day an instant lies in, in the time zone of nights, as a number of days since 1970-01-01.
    UTC needs no time zone table, so it is plain arithmetic.
#}
{% macro local_day(instant_us) -%}
{%- if var('night_time_zone') == 'UTC' -%}
{{ grid_number(instant_us, 86400000000) }}
{%- else -%}
date_diff(
    'day', date '1970-01-01',
    cast(timezone('{{ var("night_time_zone") }}', make_timestamptz({{ instant_us }})) as date)
)
{%- endif -%}
{%- endmacro %}

{# The first instant (microseconds since the epoch) of hour `hour` of a day that local_day counted. #}
{% macro local_day_start_us(day, hour=0) -%}
{%- if var('night_time_zone') == 'UTC' -%}
(({{ day }}) * 86400000000 + {{ hour }} * 3600000000)
{%- else -%}
epoch_us(timezone(
    '{{ var("night_time_zone") }}',
    timestamp '1970-01-01 00:00:00' + to_days(cast({{ day }} as integer)) + to_hours({{ hour }})
))
{%- endif -%}
{%- endmacro %}
