{# The short-term window that an instant (microseconds since the epoch) lies in, counted from the epoch. #}
{% macro window_no(instant_us) -%}
{%- set window_us = (var('short_term_memory_duration') * 1000000) | int -%}
{{ grid_number(instant_us, window_us) }}
{%- endmacro %}
