{#- What the short-term store alone still holds after elapsed_s: exp(-t / tau), tau a fifth of its duration (Murdock 1961). -#}
{%- macro short_term_decay(elapsed_s) -%}
    exp(-{{ at_least(elapsed_s) }} / ({{ parameter('short_term_memory_duration') }} / 5e0))
{%- endmacro -%}
