{#
    How many memories (0 to 2) stand right before and after one in its session, on the day that it was told: what comes on a
    later day binds nothing any more. For a query with a column `day` and a window `session_order`.
#}
{% macro count_neighbours() -%}
case when session_id is null then 0 else
    coalesce(cast(day = lag(day) over session_order as integer), 0)
    + coalesce(cast(day = lead(day) over session_order as integer), 0)
end
{%- endmacro %}
