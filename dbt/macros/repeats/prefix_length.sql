{#
    How many of a text's `count` ordered shingles must be looked up to find every text of Jaccard similarity
    `repeat_similarity` or more: two such texts share at least one among these (prefix filter, Chaudhuri et al. 2006).
#}
{% macro prefix_length(count) -%}
({{ count }} - cast(ceil({{ var('repeat_similarity') }} * {{ count }} - 1e-9) as bigint) + 1)
{%- endmacro %}
