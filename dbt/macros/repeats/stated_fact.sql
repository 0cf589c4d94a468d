{#
    The fact that a statement makes, where a rule can see one, else null: a struct of subject ('' for the speaker, 'the' for
    what all speak of), attribute, value, and
        is_negated   it denies the value
        is_single    the attribute has one value at a time, so that another one contradicts it
        is_keyed     it only names attribute and value
        is_explicit  it says itself that something has changed (now, changed to, no longer)
    `sentence` is the first sentence of a text as first_sentence leaves it.

    Seen are, at the start of the sentence:
      my/NAME's/the ATTRIBUTE is VALUE, where ATTRIBUTE ends in a noun of which there is one at a time (favourite THING, name,
      address, port, deadline, price, status, ..) or, not single, any few words; ATTRIBUTE: VALUE; ATTRIBUTE: OLD -> VALUE;
      ATTRIBUTE changed, moved, .. (from OLD) to VALUE;
      I live/NAME lives in, moved to; works at/for; prefers VALUE to OTHER; and denials of these.
    Of what one likes, has or is there may be many: there the attribute holds it (likes tea), and the value is yes or denied.
#}
{% macro stated_fact(sentence) -%}
{#- a second word only where the rule does not hold without: "noor has moved" is told of noor -#}
{%- set name = "[\\p{L}\\p{M}-]+(?: [\\p{L}\\p{M}-]+)??" -%}
{%- set who = "(i|" ~ name ~ ")" -%}
{%- set whose = "(my|our|the|" ~ name ~ "'s)" -%}
{%- set noun = "([\\p{L}\\p{N}'-]+(?: [\\p{L}\\p{N}'-]+){0,5}?)" -%}
{%- set moved = "(?:has |have |was |were |is |are )?(?:now |just |been )*(?:changed|moved|switched|updated|set|pushed|postponed"
    ~ "|rescheduled|raised|lowered|increased|reduced|dropped|rose|went up|went down)(?: back| forward| up| down)?" -%}
{%- set not_more = "(?: any ?more| any longer)?" -%}
{%- set dont = "(?:do not|don't|dont|does not|doesn't|doesnt|no longer|never)" -%}
{%- set adverbs = "(?:(?:really|still|also|just|recently|now|currently|do|absolutely|have|has) |(?:'ve|'s) )*" -%}
{%- set many = ['likes', 'has', 'is'] -%}
{%- set rules = [
    (whose ~ " " ~ noun ~ " (?:is|are) (?:not|no longer) (.+?)" ~ not_more, 1, "of", 3, "not"),
    (whose ~ " " ~ noun ~ " (?:isn't|aren't|isnt|arent) (.+?)" ~ not_more, 1, "of", 3, "not"),
    (whose ~ " " ~ noun ~ " " ~ moved ~ " (?:from .+? )?to (.+?)", 1, "of", 3, "changed"),
    ("(?:(my|our|the) )?" ~ noun ~ ": .+? ?(?:->|→|=>) ?(.+?)", 1, "of", 3, "changed"),
    ("(?:(my|our|the) )?" ~ noun ~ ": (.+?)", 1, "of", 3, "keyed"),
    (whose ~ " " ~ noun ~ " (?:is|are) (.+?)", 1, "of", 3, "is"),
    (noun ~ "( )(?:is|are) (.+?)", 1, "of", 3, "headed"),
    (who ~ " " ~ dont ~ " lives? in (.+?)" ~ not_more, 1, "lives in", 2, "not"),
    (who ~ " " ~ dont ~ " works? (?:at|for) (.+?)" ~ not_more, 1, "works at", 2, "not"),
    (who ~ " " ~ dont ~ " (?:like|love|enjoy)s? (.+?)" ~ not_more, 1, "likes", 2, "not"),
    (who ~ " " ~ dont ~ " (?:have|has|own)s? (.+?)" ~ not_more, 1, "has", 2, "not"),
    (who ~ " (?:really )?(?:dislikes?|hates?|detests?|can't stand|cannot stand) (.+?)" ~ not_more, 1, "likes", 2, "not"),
    (who ~ "(?: am| is|'m|'s) (?:not|no longer) (.+?)" ~ not_more, 1, "is", 2, "not"),
    (who ~ " " ~ adverbs ~ "(?:lives? in|(?:am |is )living in) (.+?)", 1, "lives in", 2, "single"),
    (who ~ " ?" ~ adverbs ~ "(?:moved|relocated)(?: back| over)? (?:from .+? )?to (.+?)", 1, "lives in", 2, "single"),
    (who ~ " " ~ adverbs ~ "(?:works? (?:at|for)|(?:am |is )working (?:at|for)|started (?:working |a new job |work )at) (.+?)", 1, "works at", 2, "single"),
    (who ~ " " ~ adverbs ~ "prefers? (.+?) (?:to|over) (.+?)", 1, "prefers", 2, "single"),
    (who ~ " " ~ adverbs ~ "(?:like|love|enjoy|adore)s? (.+?)", 1, "likes", 2, "is"),
    (who ~ " " ~ adverbs ~ "(?:have|has|owns?) (.+?)", 1, "has", 2, "is"),
    (who ~ "(?: am| is|'m|'s) (?:now |still )?(.+?)", 1, "is", 2, "is"),
] -%}
(case
{%- for pattern, subject, attribute, value, kind in rules %}
{%- set pattern = ("^" ~ pattern ~ "$") | replace("'", "''") %}
{%- set extract = "regexp_extract(" ~ sentence ~ ", '" ~ pattern ~ "', <group>)" %}
{%- set owner = "regexp_replace(regexp_replace(" ~ extract | replace('<group>', 1 | string) ~ ", '^(my|i)$|''s$', ''), '^our$', 'the')" %}
{%- set about = "replace(" ~ extract | replace('<group>', '1' if kind == 'headed' else '2') ~ ", 'favorite', 'favourite')" %}
{%- set stated = fact_value(extract | replace('<group>', value | string)) %}
    when
        regexp_matches({{ sentence }}, '{{ pattern }}')
        {%- if kind == 'headed' %} and {{ is_single_attribute(about) }}{% endif %}
        then {
        'subject': {% if kind == 'headed' -%} 'the'
            {%- elif kind == 'keyed' or (kind == 'changed' and attribute == 'of') -%}
            case when {{ extract | replace('<group>', 1 | string) }} = '' then 'the' else {{ owner }} end
            {%- else -%} {{ owner }} {%- endif %},
        'attribute': {% if attribute == 'prefers' -%}
            'prefers among ' || list_aggregate(
                list_sort([{{ stated }}, {{ fact_value(extract | replace('<group>', 3 | string)) }}]), 'string_agg', ' and ')
            {%- elif attribute == 'of' -%} {{ about }}
            {%- elif attribute in many -%} '{{ attribute }} ' || {{ stated }}
            {%- else -%} '{{ attribute }}' {%- endif %},
        'value': {% if attribute in many -%} '{{ 'denied' if kind == 'not' else 'yes' }}' {%- else -%} {{ stated }} {%- endif %},
        'is_negated': {{ 'true' if kind == 'not' and attribute not in many else 'false' }},
        'is_single': {% if attribute == 'of' -%} {{ is_single_attribute(about) }} {%- else -%} true {%- endif %},
        'is_explicit': {{ 'true' if kind == 'changed' else "regexp_matches(" ~ sentence ~ ", '\\b(now|no longer|any ?more)\\b')" }},
        'is_keyed': {{ 'true' if kind == 'keyed' else 'false' }}
    }
{%- endfor %}
end)
{%- endmacro %}


{# A word without which no rule can match: a quick look before the rules. #}
{% macro may_state(text) -%}
regexp_matches(
    {{ text }},
    '(?i)[:''’]|\b(?:is|are|am|lives?|living|moved|relocated|works?|working|started|prefers?|likes?|loves?|enjoys?|adores?|hates?|dislikes?'
    || '|detests?|have|has|owns?|cannot|changed|switched|updated|set|pushed|postponed|rescheduled|raised|lowered|increased|reduced'
    || '|dropped|rose|went|isnt|arent)\b'
)
{%- endmacro %}


{# Whether an attribute ends in a noun of which its owner has one at a time. #}
{% macro is_single_attribute(attribute) -%}
regexp_matches({{ attribute }}, '^(?:favourite [\p{L}-]+(?: [\p{L}-]+)?|(?:[\p{L}\p{N}''-]+ )*(?:name|nickname|surname|address'
    || '|phone|number|e-?mail|birthday|job|boss|manager|doctor|dentist|landlord|landlady|employer|age|password|passcode|pin'
    || '|code|port|url|deadline|date|day|time|price|cost|fee|rent|salary|status|version|budget|location|room|gate|owner'
    || '|assignee|lead|capital|size|limit|timeout|temperature|host|hostname|branch)(?: (?:of|for) .+)?)$')
{%- endmacro %}


{#
    A value as it is compared with others: without what introduces or trails it. A value that begins with another says the
    same more closely.
#}
{% macro fact_value(text) -%}
trim(regexp_replace(regexp_replace(
    {{ text }},
    '(?: (?:now|again|instead|today|yesterday|recently|currently|these days|nowadays|at the moment'
    || '|any ?more|from now on|(?:last|this) (?:week|month|year|summer|winter|spring|autumn|weekend)|[\p{L}\p{N}]+ (?:day|week|month|year)s? ago)| (?:with|since|because|and|but'
    || '|where|until|which|when|who|after|before|so|as|not|rather) .*)+$', ''
), '^(?:(?:now|currently|still|on|at|in|a|an|the|set to|due|due on|called) )+', ''))
{%- endmacro %}
