{#- Stability after an access within a day of the last one (FSRS-6); a success never lowers it. -#}
{%- macro same_day_stability(stability_days, grade) -%}
    {%- set factor = "(exp({0} * (({1}) - 3 + {2})) * pow({3}, -{4}))".format(
        fsrs_weight(17), grade, fsrs_weight(18), stability_days, fsrs_weight(19)) -%}
    (({{ stability_days }}) * case when ({{ grade }}) > 1 then {{ at_least(factor, '1e0') }} else {{ factor }} end)
{%- endmacro -%}
