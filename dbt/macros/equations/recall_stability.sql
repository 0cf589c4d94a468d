{#- Stability after a successful recall a day or more since the last access (FSRS-6); lost is 1 - retention. -#}
{%- macro recall_stability(stability_days, difficulty, lost, grade) -%}
    (({{ stability_days }}) * (1e0
        + exp({{ fsrs_weight(8) }}) * (11e0 - ({{ difficulty }})) * pow({{ stability_days }}, -{{ fsrs_weight(9) }})
        * (exp({{ lost }} * {{ fsrs_weight(10) }}) - 1e0)
        * case ({{ grade }}) when 2 then {{ fsrs_weight(15) }} when 4 then {{ fsrs_weight(16) }} else 1e0 end))
{%- endmacro -%}
