{#- The factor f that puts retention at exactly .9 after one stability: .9^(-1/psi) - 1. -#}
{%- macro retention_factor() -%}
    {{ double_literal(0.9 ** (-1 / var('fsrs_weights')[20]) - 1) }}
{%- endmacro -%}
