{#- Difficulty, 1 to 10, right after encoding; NULL for a grade outside 1 to 4, fractions included. -#}
{%- macro first_difficulty(grade) -%}
    (case when ({{ grade }}) between 1 and 4 then {{ clamp(raw_first_difficulty(grade), '1e0', '10e0') }} end)
{%- endmacro -%}
