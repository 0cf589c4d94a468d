{#
    A text as it is compared with others: lower case, one form of each accented letter and of the apostrophe, single
    spaces, without the quotation marks, brackets and full stops at the edges of words. What carries meaning stays:
    signs of numbers, decimal points, question marks, symbols, emoji. Null for a text of which nothing is left.
#}
{% macro normalised_text(content) -%}
nullif(trim(regexp_replace(
    regexp_replace(
        regexp_replace(
            lower(nfc_normalize(translate({{ content }}, '’‘ʼ', ''''''''))),
            '[\s\p{Z}\x{200e}\x{200f}\x{feff}]+', ' ', 'g'
        ),
        '(^| )["“”„«»(\['']+', '\1', 'g'
    ),
    '[.,;:!…"“”«»)\]'']+( |$)', '\1', 'g'
)), '')
{%- endmacro %}
