{#- Probability of recall after elapsed_s with rehearsal prevented (Murdock 1961). -#}
{%- macro short_term_retention(elapsed_s) -%}
    ({{ parameter('short_term_floor') }}
    + (1e0 - {{ parameter('short_term_floor') }}) * {{ short_term_decay(elapsed_s) }})
{%- endmacro -%}
