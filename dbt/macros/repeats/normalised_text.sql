{#
    A text as it is compared with others: lower case, one form of each accented letter and of the apostrophe, single
    spaces, without the quotation marks, brackets and full stops at the edges of words. What carries meaning stays:
    signs of numbers, decimal points, question marks, symbols, emoji. Null for a text of which nothing is left.
#}
{% macro normalised_text(content) -%}
{#- Blanks are looked for in the text as it is: none comes or goes with apostrophes, accents and case. -#}
{%- set plain = "lower(nfc_normalize(" ~ translate_any(content, ["'’'", "'‘'", "'ʼ'"], "''''") ~ "))" -%}
nullif(trim(regexp_replace(
    regexp_replace(
        case
            when regexp_matches({{ content }}, '  |[^\S ]|[^\PZ ]|[\x{200e}\x{200f}\x{feff}]')
                then regexp_replace({{ plain }}, '[\s\p{Z}\x{200e}\x{200f}\x{feff}]+', ' ', 'g')
            else {{ plain }}
        end,
        '(^| )["“”„«»(\['']+', '\1', 'g'
    ),
    '[.,;:!…"“”«»)\]'']+( |$)', '\1', 'g'
)), '')
{%- endmacro %}
