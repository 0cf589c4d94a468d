{#- How much an experience stands out, 0 to 1: its stated importance, else what its text tells (see biomem.domain.retention). -#}
{%- macro salience(importance, new_words, told_words, times, names, first_person, is_answer) -%}
    {%- set weights = var('salience_weights') -%}
    {%- set counts = [new_words, told_words, times, names, first_person] -%}
    coalesce(
        {{ clamp(importance) }},
        {{ clamp('(' ~ double_literal(weights[5]) ~ ' * coalesce(' ~ is_answer ~ '::integer, 0)'
            ~ salience_terms(counts, weights) ~ ') / ' ~ parameter('salience_full')) }}
    )
{%- endmacro -%}

{%- macro salience_terms(counts, weights) -%}
    {%- for count in counts %} + {{ double_literal(weights[loop.index0]) }} * ln(1e0 + {{ at_least('coalesce(' ~ count ~ ', 0)::double') }}){% endfor -%}
{%- endmacro -%}
