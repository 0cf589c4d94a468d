{#
    Reading a text without a language model. Only its first 20,000 characters count, so that hostile input costs no
    more than a long letter; a script without spaces yields its runs of letters. Null text gives an empty list.
#}

{# The capitalised words of a text, those in a row as one name. One that opens a sentence begins with chr(2). #}
{% macro read_names(text) -%}
{#- RE2 has no look-behind, so sentence starts are marked first; nor is its bounded repetition quick -#}
{%- set opening -%} (["“‘''(]*)(\p{Lu}) {%- endset -%}
{%- set marked -%}
case
    when regexp_matches({{ text }}, '[.!?:;…。！？]["”’'')]*[\s\x{2}]')
        then regexp_replace({{ head_of(text) }}, '(^|[.!?:;…。！？]["”’'')]*\s){{ opening }}', '\1\2' || chr(2) || '\3', 'g')
    else regexp_replace({{ head_of(text) }}, '^{{ opening }}', '\1' || chr(2) || '\2')
end
{%- endset -%}
{%- set capitalised -%} \p{Lu}[\pL\pM]+ {%- endset -%}
regexp_extract_all({{ marked }}, '(?:^|[^\pL\pM\pN]){{ capitalised }}(?:[ -]{{ capitalised }})*')
{%- endmacro %}


{# The words of a text in lower case. #}
{% macro read_words(text) -%}
regexp_extract_all(lower({{ head_of(text) }}), '[\pL\pM]+')
{%- endmacro %}


{% macro head_of(text) -%}
left(coalesce({{ translate_any(text, ['chr(2)', 'chr(10)'], "' '") }}, ''), 20000)
{%- endmacro %}
