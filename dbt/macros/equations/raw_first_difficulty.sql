{#- Difficulty that a grade earns at encoding, before it is held between 1 and 10 (FSRS-6). -#}
{%- macro raw_first_difficulty(grade) -%}
    ({{ fsrs_weight(4) }} - exp({{ fsrs_weight(5) }} * (({{ grade }}) - 1)) + 1e0)
{%- endmacro -%}
