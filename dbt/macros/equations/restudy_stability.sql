{#- Stability in days after meeting a memory again without recalling it: a share of what a retrieval would have gained. -#}
{%- macro restudy_stability(stability_days, difficulty, elapsed_days, grade='3', known=false) -%}
    (({{ stability_days }}) * (1e0 + {{ parameter('restudy_rho') }}
        * ({{ next_stability(stability_days, difficulty, elapsed_days, grade, known) }} / ({{ stability_days }}) - 1e0)))
{%- endmacro -%}
