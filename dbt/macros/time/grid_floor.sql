{#
    The last point at or before `instant_us` of a grid with `step_us` between its points, one of them at `origin_us`.
    All microseconds since the Unix epoch, whole numbers: exact for every date from 29,000 BC on.
#}
{% macro grid_floor(instant_us, step_us, origin_us='0') -%}
{#- a whole number of steps, about 1e18 us, is added: the remainder of a positive number is the distance from the point -#}
{%- set step = step_us | int -%}
(({{ instant_us }}) - (({{ instant_us }}) + {{ 10 ** 18 // step * step }} - {{ origin_us }}) % {{ step }})
{%- endmacro %}

{# How many steps that point is from the epoch, where the grid has a point: negative before it. #}
{% macro grid_number(instant_us, step_us) -%}
{%- set step = step_us | int -%}
{%- set before = 10 ** 18 // step -%}
((({{ instant_us }}) + {{ before * step }}) // {{ step }} - {{ before }})
{%- endmacro %}
