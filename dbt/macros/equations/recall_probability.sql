{#- Probability that the short-term or the long-term store yields a memory elapsed_s after its access. -#}
{%- macro recall_probability(elapsed_s, retention) -%}
    (1e0 - (1e0 - {{ short_term_decay(elapsed_s) }}) * (1e0 - {{ clamp(retention) }}))
{%- endmacro -%}
