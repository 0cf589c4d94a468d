{#
    The different words of a text that can tell something, as hashes: those of four letters or more, which leaves out most
    function words of most languages. Where words are not set apart by spaces, pieces of two (Chinese, Japanese, Korean)
    or four letters (Thai, Lao, Khmer, Burmese) stand for words. An empty list for a null text.
#}
{% macro telling_words(text) -%}
list_distinct(list_transform(
    coalesce(regexp_extract_all(
        lower({{ text }}),
        '[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]{2}|[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]{4}|[\p{L}\p{M}\p{N}]{4,}'
    ), []),
    lambda word: hash(word)
))
{%- endmacro %}
