{#-
    Stability in days right after encoding: by grade, 1 to 4, in equal ratios between whole grades, raised by arousal.
    NULL for a grade outside 1 to 4.
-#}
{%- macro first_stability(grade, arousal) -%}
    {{ at_least(
        "(case when ({0}) = 1 then {1} when ({0}) = 2 then {2} when ({0}) = 3 then {3} when ({0}) = 4 then {4} ".format(
            grade, fsrs_weight(0), fsrs_weight(1), fsrs_weight(2), fsrs_weight(3))
        ~ "when ({0}) between 1 and 2 then {1} * pow({2} / {1}, ({0}) - 1) ".format(grade, fsrs_weight(0), fsrs_weight(1))
        ~ "when ({0}) between 2 and 3 then {1} * pow({2} / {1}, ({0}) - 2) ".format(grade, fsrs_weight(1), fsrs_weight(2))
        ~ "when ({0}) between 3 and 4 then {1} * pow({2} / {1}, ({0}) - 3) end)".format(grade, fsrs_weight(2), fsrs_weight(3))
        ~ " * (1e0 + " ~ parameter('arousal_gain') ~ " * coalesce(" ~ clamp(arousal) ~ ", 0e0))",
        parameter('minimum_stability_days')
    ) }}
{%- endmacro -%}
