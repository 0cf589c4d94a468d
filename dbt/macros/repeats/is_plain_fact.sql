{#
    Whether what stated_fact read is plain enough to be claimed: its subject is somebody or something named, and its value is of
    the kind that its attribute takes ("the deadline is tight" says nothing about when it is).
    `fact`: the struct; `content`: the text, in whose capitals names are seen.
#}
{% macro is_plain_fact(fact, content) -%}
(
    {{ fact }} is not null
    and length({{ fact }}.value) between 1 and 80
    and not regexp_matches({{ fact }}.value, '^(?:not?|never|none)(?: |$)')
    and not regexp_matches({{ fact }}.value, '^(?:it|this|that|these|those|you|him|her|them|me|us|there|here|one|so)$')
    and not regexp_matches(
        {{ fact }}.subject,
        '^(?:you|he|she|they|we|it|this|that|there|these|those|who|what|which|where|when|why|how|if|here|people|one|an?|some|every'
        || '|each|any|no|his|her|their|its|your|another|and|but|or|then|let|both|maybe|perhaps|some(?:one|body|thing)|every(?:one|body|thing)'
        || '|nobody|nothing|any(?:one|body|thing))(?: |$)'
    )
    and not regexp_matches({{ fact }}.subject, '^(?:the|our) ')
    and not (
        {{ fact }}.subject like 'my %'
        and not regexp_matches(
            {{ fact }}.subject,
            '^my (?:mother|father|mum|mom|dad|wife|husband|partner|girlfriend|boyfriend|boss|manager|landlord|landlady|dentist)$'
        )
    )
    and not ({{ fact }}.is_keyed and not {{ fact }}.is_single)
    and not ({{ fact }}.is_single and not {{ is_fitting_value(fact ~ '.attribute', fact ~ '.value', content) }})
)
{%- endmacro %}


{# Whether a value is of the kind that an attribute takes. #}
{% macro is_fitting_value(attribute, value, content) -%}
(case
    when {{ value }} in ('yes', 'denied') then true
    when {{ attribute }} = 'lives in' then not regexp_matches(
        {{ value }},
        '^(?:(?:my|our|his|her|their|your|another|next|small|big|different) .*|(?:new )?(?:house|home|flat|apartment|room|city|town|village|studio'
        || '|countryside|suburbs|hotel|fear|peace|harmony|tears|hope|bed|past|present|moment|place|topic|job|level|office))$'
    )
    when {{ attribute }} = 'works at' then not regexp_matches(
        {{ value }}, '^(?:home|nights?|moment|weekends?|full|me|us|him|her|them|everyone|now|my|his|her|their|your)(?: |$)'
    )
    when regexp_matches({{ attribute }}, '\b(?:deadline|date|day|time)(?: (?:of|for) .+)?$') then regexp_matches(
        {{ value }},
        '\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day|\b(?:january|february|march|april|may|june|july|august|september|october'
        || '|november|december|noon|midnight)\b'
    )
    when regexp_matches(
        {{ attribute }},
        '\b(?:phone|number|age|pin|code|passcode|port|price|cost|fee|rent|salary|version|budget|size|limit|timeout|temperature|gate|room)'
        || '(?: (?:of|for) .+)?$'
    ) then regexp_matches({{ value }}, '\d')
    when regexp_matches({{ attribute }}, '\be-?mail(?: (?:of|for) .+)?$|\be-?mail address$') then contains({{ value }}, '@')
    when regexp_matches(
        {{ attribute }},
        '\b(?:boss|manager|doctor|dentist|landlord|landlady|employer|owner|assignee|lead|location|address|capital)(?: (?:of|for) .+)?$'
    ) then regexp_matches({{ value }}, '\d') or regexp_matches({{ content }}, '(?: is| to|:|->|→)(?: now| called)? \p{Lu}')
    else true
end)
{%- endmacro %}


{# Whether two values say the same, one perhaps more closely. #}
{% macro is_same_value(a, b) -%}
({{ a }} = {{ b }} or starts_with({{ a }}, {{ b }} || ' ') or starts_with({{ b }}, {{ a }} || ' '))
{%- endmacro %}
