{#- Stability in days after one replay in sleep; replay alone never lifts it beyond maximum_stability_days. -#}
{%- macro replay_stability(stability_days) -%}
    (case when ({{ stability_days }}) > 0 then greatest(
        ({{ stability_days }})::double,
        least(({{ stability_days }}) * {{ parameter('replay_stability_factor') }}, {{ parameter('maximum_stability_days') }})
    ) end)
{%- endmacro -%}
