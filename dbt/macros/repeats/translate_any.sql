{#
    A text with each of some characters replaced by another one. Most texts have none of them, and to look for them takes a
    tenth of the time that `translate` takes to find it out. Null for a null text.
    characters: list of SQL expressions of one character each; replacement: SQL expression of one character
#}
{% macro translate_any(text, characters, replacement) -%}
case
    when {% for one in characters %}{{ ' or ' if not loop.first }}contains({{ text }}, {{ one }}){% endfor %}
        then translate({{ text }}, {{ characters | join(' || ') }}, repeat({{ replacement }}, {{ characters | length }}))
    else {{ text }}
end
{%- endmacro %}
