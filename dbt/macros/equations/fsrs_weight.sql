{#- FSRS weight w[index], 0 to 20, as a DOUBLE literal. -#}
{%- macro fsrs_weight(index) -%}
    {{ double_literal(var('fsrs_weights')[index]) }}
{%- endmacro -%}
