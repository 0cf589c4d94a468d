{# How often a text names a time or a number: digits, and the English words for days, months and spans of time. #}
{% macro count_times(text) -%}
{{ count_matches(text, "(?i)[\\p{N}]+|\\b(?:yesterday|today|tonight|tomorrow|last|next|ago|weekends?|(?:week|month|year|"
    ~ "monday|tuesday|wednesday|thursday|friday|saturday|sunday)s?|january|february|march|april|june|july|august|"
    ~ "september|october|november|december)\\b") }}
{%- endmacro %}

{# How many names a text holds: runs of capitalised words inside a sentence. #}
{% macro count_names(text) -%}
{{ count_matches(text, "[^.!?…。:\"“«(\\[\\s]\\s+\\p{Lu}[\\p{L}\\p{M}]+(?:\\s\\p{Lu}[\\p{L}\\p{M}]+)*") }}
{%- endmacro %}

{# How often a text speaks in the first person (English). #}
{% macro count_first_person(text) -%}
{{ count_matches(text, "(?i)\\b(?:i|my|me|we|our|us)\\b") }}
{%- endmacro %}

{% macro count_matches(text, pattern) -%}
coalesce(len(regexp_extract_all({{ text }}, '{{ pattern }}')), 0)
{%- endmacro %}
