{#- Stability in days right after encoding: by grade, raised by arousal; NULL for a grade outside 1 to 4. -#}
{%- macro first_stability(grade, arousal) -%}
    {{ at_least(
        "(case ({0}) when 1 then {1} when 2 then {2} when 3 then {3} when 4 then {4} end)".format(
            grade, fsrs_weight(0), fsrs_weight(1), fsrs_weight(2), fsrs_weight(3))
        ~ " * (1e0 + " ~ parameter('arousal_gain') ~ " * coalesce(" ~ clamp(arousal) ~ ", 0e0))",
        parameter('minimum_stability_days')
    ) }}
{%- endmacro -%}
