{#- FSRS grade, 1 (again) to 4 (easy) with fractions between, that a salience earns at encoding. -#}
{%- macro salience_grade(salience) -%}
    {%- set points = [0.0, var('salience_hard'), var('salience_good'), var('salience_easy')] -%}
    (case
        when ({{ salience }}) <= 0 then 1e0
        {%- for high in points[1:] %}
        {%- set low = points[loop.index0] %}
        when ({{ salience }}) < {{ double_literal(high) }} then {{ double_literal(loop.index) }} + (({{ salience }}) - {{ double_literal(low) }}) / {{ double_literal(high - low) }}
        {%- endfor %}
        when ({{ salience }}) is not null then 4e0
    end)
{%- endmacro -%}
