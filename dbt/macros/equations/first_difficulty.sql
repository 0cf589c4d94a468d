{#- Difficulty, 1 to 10, right after encoding; NULL for a grade outside 1 to 4. -#}
{%- macro first_difficulty(grade) -%}
    (case when ({{ grade }}) in (1, 2, 3, 4) then {{ clamp(raw_first_difficulty(grade), '1e0', '10e0') }} end)
{%- endmacro -%}
