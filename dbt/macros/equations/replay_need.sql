{#- How likely a memory is to be needed again, in [0, 1): from the days it was used on and its associations' reach in [0, 1]. -#}
{%- macro replay_need(days_used, reach) -%}
    {%- set odds = "(pow({0} / ({1} - 1e0), {2}) * (1e0 + coalesce({3}, 0e0)))".format(
        at_least('(' ~ days_used ~ ') - 1'), parameter('need_half_days'), parameter('need_steepness'), clamp(reach)) -%}
    ({{ odds }} / (1e0 + {{ odds }}))
{%- endmacro -%}
