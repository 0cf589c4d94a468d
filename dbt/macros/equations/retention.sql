{#- Probability of recall after elapsed_days, .9 at one stability (FSRS-6). NULL unless the stability is positive. -#}
{%- macro retention(elapsed_days, stability_days) -%}
    (case when ({{ stability_days }}) > 0 then
        pow(
            1e0 + {{ retention_factor() }} * {{ at_least(elapsed_days) }} / ({{ stability_days }}),
            -{{ fsrs_weight(20) }}
        )
    end)
{%- endmacro -%}
