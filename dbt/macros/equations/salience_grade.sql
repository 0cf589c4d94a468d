{#- FSRS grade (1 again .. 4 easy) that a salience earns at encoding; unknown salience earns good. -#}
{%- macro salience_grade(salience) -%}
    (case
        when ({{ salience }}) is null then 3
        when ({{ salience }}) >= {{ parameter('salience_easy') }} then 4
        when ({{ salience }}) >= {{ parameter('salience_good') }} then 3
        when ({{ salience }}) >= {{ parameter('salience_hard') }} then 2
        else 1
    end)
{%- endmacro -%}
