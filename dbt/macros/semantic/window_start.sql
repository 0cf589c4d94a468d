{#
    Start of the tumbling short-term window, `short_term_memory_duration` seconds long, that an instant lies in.
    Windows are counted from the Unix epoch. Null when the instant is null.
#}
{% macro window_start(instant) -%}
make_timestamptz({{ grid_floor('epoch_us(' ~ instant ~ ')', var('short_term_memory_duration') * 1000000) }})
{%- endmacro %}
