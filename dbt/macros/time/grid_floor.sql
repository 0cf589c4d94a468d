{#
    The last point at or before `instant_us` of a grid with `step_us` between its points, one of them at `origin_us`.
    All microseconds since the Unix epoch, whole numbers: exact for every date, also before 1970.
#}
{% macro grid_floor(instant_us, step_us, origin_us='0') -%}
(
    ({{ instant_us }})
    - ((({{ instant_us }}) - {{ origin_us }}) % {{ step_us }} + {{ step_us }}) % {{ step_us }}
)
{%- endmacro %}
