{#- Difficulty, 1 to 10, after an access: damped toward 10, drawn back to an easy start (FSRS-6); known: the grade is. -#}
{%- macro next_difficulty(difficulty, grade, known=false) -%}
    {%- set moved = "(({0}) + (10e0 - ({0})) * (-{1} * (({2}) - 3)) / 9e0)".format(difficulty, fsrs_weight(6), grade) -%}
    {%- set reverted = "(" ~ fsrs_weight(7) ~ " * " ~ raw_first_difficulty(4)
        ~ " + (1e0 - " ~ fsrs_weight(7) ~ ") * " ~ moved ~ ")" -%}
    {%- set held = clamp(reverted, '1e0', '10e0') -%}
    {{ held if known else "(case when (" ~ grade ~ ") in (1, 2, 3, 4) then " ~ held ~ " end)" }}
{%- endmacro -%}
