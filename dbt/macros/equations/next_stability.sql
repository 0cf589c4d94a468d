{#-
    Stability in days after an access elapsed_days since the last one (FSRS-6, fractional days).
    Within a day the short-term rule, where a success never lowers stability; NULL outside the domain.
    known: the fold's own numbers, which lie in the domain (or are NULL) and are not asked.
-#}
{%- macro next_stability(stability_days, difficulty, elapsed_days, grade, known=false) -%}
    {%- set lost = "(1e0 - " ~ retention(elapsed_days, stability_days, known) ~ ")" -%}
    (case
        {%- if not known %}
        when not coalesce(({{ stability_days }}) > 0 and ({{ elapsed_days }}) is not null and ({{ grade }}) in (1, 2, 3, 4), false) then null
        {%- endif %}
        when ({{ elapsed_days }}) < 1 then {{ at_least(same_day_stability(stability_days, grade), parameter('minimum_stability_days')) }}
        when ({{ grade }}) = 1 then {{ at_least(lapse_stability(stability_days, difficulty, lost), parameter('minimum_stability_days')) }}
        else {{ recall_stability(stability_days, difficulty, lost, grade) }}
    end)
{%- endmacro -%}
