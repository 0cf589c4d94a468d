{#- Difficulty, 1 to 10, after an access: damped toward 10, drawn back to an easy start (FSRS-6). -#}
{%- macro next_difficulty(difficulty, grade) -%}
    {%- set moved = "(({0}) + (10e0 - ({0})) * (-{1} * (({2}) - 3)) / 9e0)".format(difficulty, fsrs_weight(6), grade) -%}
    {%- set reverted = "(" ~ fsrs_weight(7) ~ " * " ~ raw_first_difficulty(4)
        ~ " + (1e0 - " ~ fsrs_weight(7) ~ ") * " ~ moved ~ ")" -%}
    (case when ({{ grade }}) in (1, 2, 3, 4) then {{ clamp(reverted, '1e0', '10e0') }} end)
{%- endmacro -%}
