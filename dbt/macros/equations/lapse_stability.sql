{#- Stability after a failed recall a day or more since the last access (FSRS-6); lost is 1 - retention. -#}
{%- macro lapse_stability(stability_days, difficulty, lost) -%}
    (case when ({{ difficulty }}) is not null then least(
        {{ fsrs_weight(11) }} * pow({{ difficulty }}, -{{ fsrs_weight(12) }})
        * (pow(({{ stability_days }}) + 1e0, {{ fsrs_weight(13) }}) - 1e0) * exp({{ lost }} * {{ fsrs_weight(14) }}),
        ({{ stability_days }}) / exp({{ fsrs_weight(17) }} * {{ fsrs_weight(18) }})
    ) end)
{%- endmacro -%}
