{#
    The fact that a statement makes about somebody, where a rule can see one: a struct of subject ('' for the speaker),
    attribute and value, else null. `sentence` is the first sentence of a text, in lower case, single-spaced.

    Seen are, at the start of the sentence, attributes of which a person has one at a time:
      my/NAME's favourite THING is VALUE; my/NAME's name, address, phone number, .. is VALUE;
      I live/NAME lives in VALUE, moved to VALUE; I work/NAME works at/for VALUE; I prefer/NAME prefers VALUE to OTHER.
    Questions, and values that start with a negation, state nothing.
#}
{% macro stated_fact(sentence) -%}
{#- a second word only where the rule does not hold without: "noor has moved" is told of noor -#}
{%- set name = "[\\p{L}\\p{M}-]+(?: [\\p{L}\\p{M}-]+)??" -%}
{%- set value = "([^.,;:!?()]+?)(?: now)?" -%}
{%- set rules = [
    ["^(my|" ~ name ~ "'s) (favou?rite [\\p{L}-]+(?: [\\p{L}-]+)?) is (?:now )?" ~ value ~ "$", "2", "3"],
    ["^(my|" ~ name ~ "'s) (name|nickname|address|phone number|email|e-mail|email address|birthday|job|boss|manager"
        ~ "|doctor|dentist|landlord|landlady|employer) is (?:now )?" ~ value ~ "$", "2", "3"],
    ["^(i|" ~ name ~ ") (?:now )?lives? in " ~ value ~ "$", "lives in", "2"],
    ["^(i|" ~ name ~ ") (?:have |has )?(?:just )?moved to " ~ value ~ "$", "lives in", "2"],
    ["^(i|" ~ name ~ ") (?:now )?works? (?:at|for) " ~ value ~ "$", "works at", "2"],
    ["^(i|" ~ name ~ ") (?:now )?prefers? ([^.,;:!?()]+?) (?:to|over) ([^.,;:!?()]+?)$", "prefers", "2"],
] -%}
(case
{%- for pattern, attribute, of in rules %}
{%- set pattern = pattern | replace("'", "''") %}
{%- set subject = "regexp_replace(regexp_extract(" ~ sentence ~ ", '" ~ pattern ~ "', 1), '^(my|i)$|''s$', '')" %}
{%- set stated = "regexp_extract(" ~ sentence ~ ", '" ~ pattern ~ "', " ~ of ~ ")" %}
    when regexp_matches({{ sentence }}, '{{ pattern }}') then {
        'subject': {{ subject }},
        'attribute': {% if attribute == 'prefers' -%}
            'prefers among ' || list_aggregate(list_sort([
                {{ stated }}, regexp_extract({{ sentence }}, '{{ pattern }}', 3)]), 'string_agg', ' and ')
            {%- elif attribute == '2' -%}
            replace(regexp_extract({{ sentence }}, '{{ pattern }}', 2), 'favorite', 'favourite')
            {%- else -%}
            '{{ attribute }}'
            {%- endif %},
        'value': {{ stated }}
    }
{%- endfor %}
end)
{%- endmacro %}
