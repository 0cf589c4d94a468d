{#- Probability that an activation exceeds the recall threshold under logistic noise. -#}
{%- macro activation_probability(activation) -%}
    (1e0 / (1e0 + exp({{ clamp(
        '-((' ~ activation ~ ') - ' ~ parameter('recall_threshold') ~ ') / ' ~ parameter('activation_noise'), '-700e0', '700e0'
    ) }})))
{%- endmacro -%}
