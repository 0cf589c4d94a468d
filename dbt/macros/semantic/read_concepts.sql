{#
    What a text names, without a language model: a list of {concept, kind}, where kind is
      'name'    capitalised words in the middle of a sentence,
      'opening' capitalised words that open a sentence: a name only if some other text shows it,
      'term'    any other word of three letters or more.
    Only the first 20,000 characters are read, and of a concept the first 64, so that hostile input costs no more than
    a long letter; a script without spaces yields its runs of letters. Null text gives an empty list.
    A sentence's start is marked by chr(2), as RE2 has no look-behind; it has no quick bounded repetition either.
#}
{% macro read_concepts(text) -%}
{%- set head = "left(translate(coalesce(" ~ text ~ ", ''), chr(2) || chr(10), '  '), 20000)" -%}
{%- set marked -%}
regexp_replace({{ head }}, '(^|[.!?:;…。！？]["”’'')]*\s)(["“‘''(]*)(\p{Lu})', '\1\2' || chr(2) || '\3', 'g')
{%- endset -%}
{%- set capitalised -%} \p{Lu}[\pL\pM]+ {%- endset -%}
list_concat(
    list_transform(
        regexp_extract_all({{ marked }}, '(?:^|[^\pL\pM\pN]){{ capitalised }}(?:[ -]{{ capitalised }})*'),
        lambda found: {
            'concept': left(lower(regexp_extract(found, '[\pL\pM].*')), 64),
            'kind': if(starts_with(found, chr(2)), 'opening', 'name')
        }
    ),
    list_transform(
        list_filter(regexp_extract_all(lower({{ head }}), '[\pL\pM]+'), lambda found: length(found) > 2),
        lambda found: {'concept': left(found, 64), 'kind': 'term'}
    )
)
{%- endmacro %}
