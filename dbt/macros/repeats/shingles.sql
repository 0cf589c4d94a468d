{#
    The distinct pairs of neighbouring words of a text, each as one number: the pair's length in characters (counted
    down) in the upper byte, its hash below. Sorted, the longest pairs come first, and those are seldom shared by
    chance; the order is the same for all texts, as a prefix filter needs.
#}
{% macro shingles(words) -%}
list_sort(list_distinct(list_transform(
    range(1, len({{ words }})),
    lambda i: (
        (255::ubigint - least(length({{ words }}[i]) + length({{ words }}[i + 1]), 255)::ubigint) << 56
    ) | (hash({{ words }}[i] || ' ' || {{ words }}[i + 1]) >> 8)
)))
{%- endmacro %}
