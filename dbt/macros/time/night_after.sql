{# The first night (hour night_hour of a local day) after an instant; both microseconds since the epoch. #}
{% macro night_after_us(instant_us) -%}
{%- set tonight = local_day_start_us(local_day(instant_us), var('night_hour')) -%}
(case
    when {{ tonight }} > ({{ instant_us }}) then {{ tonight }}
    else {{ local_day_start_us('(' ~ local_day(instant_us) ~ ' + 1)', var('night_hour')) }}
end)
{%- endmacro %}
