{#
    The words of a list that two statements must have in common, in the same order, to count as one statement: numbers,
    and whatever denies.
#}
{% macro decisive_words(words) -%}
list_filter(
    {{ words }},
    lambda word: regexp_matches(word, '[\p{N}]')
    or word like '%n''t'
    or list_contains([
        'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve',
        'thirteen', 'fourteen', 'fifteen', 'sixteen', 'seventeen', 'eighteen', 'nineteen', 'twenty', 'thirty', 'forty',
        'fifty', 'sixty', 'seventy', 'eighty', 'ninety', 'hundred', 'thousand', 'million', 'billion', 'dozen', 'half',
        'quarter', 'double', 'twice', 'once', 'first', 'second', 'third', 'fourth', 'fifth', 'last', 'both', 'all',
        'no', 'not', 'never', 'none', 'nobody', 'nothing', 'nowhere', 'neither', 'nor', 'without', 'cannot', 'hardly',
        'barely', 'scarcely', 'unless', 'except', 'dont', 'doesnt', 'didnt', 'isnt', 'wasnt', 'wont', 'cant',
        'nicht', 'kein', 'keine', 'keinen', 'nie', 'niemals', 'ohne', 'ne', 'pas', 'jamais', 'sans', 'non', 'mai',
        'senza', 'nunca', 'jamás', 'sin', 'não', 'niet', 'geen', 'nooit', 'ikke', 'inte', 'не', 'нет', 'никогда', 'без',
        'ما', 'لا', 'ليس', 'لن', 'לא', 'אין', 'בלי'
    ], word)
)
{%- endmacro %}
