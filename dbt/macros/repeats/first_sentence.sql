{#
    The first sentence of an opening, without what introduces a correction or a remark. A point, comma or colon inside a number, a
    time or an address ends no sentence. Null where there is none.
#}
{% macro first_sentence(opening) -%}
nullif(regexp_extract(
    regexp_replace(
        {{ opening }},
        '^(?:(?:actually|correction|update|edit|change of plans?|scratch that|no wait|sorry|fyi|note|reminder|btw|by the way|also|well'
        || '|ok|okay|yes|oh|remember)(?:[,:!]| -)? )+', ''
    ),
    '^((?:[^.,;!?()]|[.,][^\s])+?)(?:[.!;,()]+(?:\s|$)|[.!,]*$)', 1
), '')
{%- endmacro %}

{# Whether an opening introduces a correction of what was said before. #}
{% macro is_correction(opening) -%}
regexp_matches(
    {{ opening }}, '^(?:actually|correction|update|edit|change of plans?|scratch that|no wait)\b'
)
{%- endmacro %}

{# The first 200 characters as rules read them: lower case, single spaces, one apostrophe, without the speaker's name. #}
{% macro opening(content, speaker) -%}
lower(trim(regexp_replace(replace(
    left(
        case
            when starts_with({{ content }}, {{ speaker }} || ':') then substring({{ content }}, length({{ speaker }}) + 2)
            else {{ content }}
        end, 200
    ), '’', ''''
), '\s+', ' ', 'g')))
{%- endmacro %}
