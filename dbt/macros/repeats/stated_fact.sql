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
{#-
    A class of Unicode letters takes RE2 a millisecond wherever it stands in a pattern. So names and nouns are read as what ASCII does
    not rule out, and whether they are made of letters is asked once, of what the rules have found. Marks that combine stand in names,
    as ever, but in no noun.
-#}
{#- a second word only where the rule does not hold without: "noor has moved" is told of noor -#}
{%- set name = "[^\\x00-,./-@[-`{-\\x7f]+(?: [^\\x00-,./-@[-`{-\\x7f]+)??" -%}
{%- set who = "(i|" ~ name ~ ")" -%}
{%- set whose = "(my|our|the|" ~ name ~ "'s)" -%}
{%- set word = "[^\\x00-&(-,./:-@[-`{-\\x7f\\x{300}-\\x{36f}]+" -%}
{%- set noun = "(" ~ word ~ "(?: " ~ word ~ "){0,5}?)" -%}
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
{#- All rules as one pattern: most sentences match none of them, and none of their parts is looked for there. -#}
{%- set matched -%}
case when regexp_matches({{ sentence }}, '^(?:{{ rules | map("first") | join("|") | replace("'", "''") }})$') then list_filter([
{%- for pattern, subject, attribute, value, kind in rules %}
{%- set spare = "()" * (3 - pattern.count("(") + pattern.count("(?")) -%}
{%- set pattern = ("^" ~ pattern ~ spare ~ "$") | replace("'", "''") %}
    {
        'kind': '{{ kind }}', 'attribute': '{{ attribute }}', 'value_no': {{ value }},
        'found': regexp_extract({{ sentence }}, '{{ pattern }}', ['owner', 'second', 'third'])
    }{{ ',' if not loop.last }}
{%- endfor %}
], lambda m:
    case when m.value_no = 2 then m.found.second else m.found.third end <> ''
    and (m.kind = 'headed' or not regexp_matches(m.found.owner, '[^\p{L}\p{M}'' -]'))
    and (
        m.value_no = 2
        or not regexp_matches(case when m.kind = 'headed' then m.found.owner else m.found.second end, '[^\p{L}\p{N}'' -]')
    )
    and (m.kind <> 'headed' or {{ is_single_attribute(british('m.found.owner')) }})
)[1] end
{%- endset -%}
{%- set read -%}
case when m is not null then {
    'kind': m.kind,
    'attribute': m.attribute,
    'owner': case
        when m.kind = 'headed' or m.found.owner = '' then 'the'
        else regexp_replace(regexp_replace(m.found.owner, '^(my|i)$|''s$', ''), '^our$', 'the')
    end,
    'about': {{ british("case when m.kind = 'headed' then m.found.owner else m.found.second end") }},
    'values': list_transform([
        case when m.value_no = 2 then m.found.second else m.found.third end,
        case when m.attribute = 'prefers' then m.found.third end
    ], lambda told: {{ fact_value('told') }})
} end
{%- endset -%}
list_transform(list_transform([{{ matched }}], lambda m: {{ read }}), lambda r: case when r is not null then {
    'subject': r.owner,
    'attribute': case
        when r.attribute = 'prefers'
            then 'prefers among ' || list_aggregate(list_sort(r."values"), 'string_agg', ' and ')
        when r.attribute = 'of' then r.about
        when r.attribute in ('{{ many | join("', '") }}') then r.attribute || ' ' || r."values"[1]
        else r.attribute
    end,
    'value': case
        when r.attribute not in ('{{ many | join("', '") }}') then r."values"[1]
        when r.kind = 'not' then 'denied'
        else 'yes'
    end,
    'is_negated': r.kind = 'not' and r.attribute not in ('{{ many | join("', '") }}'),
    'is_single': r.attribute <> 'of' or {{ is_single_attribute('r.about') }},
    'is_explicit': r.kind = 'changed' or regexp_matches({{ sentence }}, '\b(now|no longer|any ?more)\b'),
    'is_keyed': r.kind = 'keyed'
} end)[1]
{%- endmacro %}


{% macro british(attribute) -%}
replace({{ attribute }}, 'favorite', 'favourite')
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
