{#
    What a text tells: its sentences that ask nothing, without the name of the speaker that some logs put before it.
    Null for a null text. Texts are read up to 10,000 characters.
#}
{% macro told_text(content, speaker) -%}
{%- set read -%}
case
    when starts_with({{ content }}, {{ speaker }} || ':') then substring({{ content }}, length({{ speaker }}) + 2, 10000)
    else left({{ content }}, 10000)
end
{%- endset -%}
{#- most texts ask nothing, and to see that is quick -#}
case
    when {{ asks(content) }}
        then regexp_replace({{ read }}, '[^.!?…。！？؟\n]*[?？؟]+', ' ', 'g')
    else {{ read }}
end
{%- endmacro %}


{# Whether a text asks anything. Null for a null text. #}
{% macro asks(text) -%}
(contains({{ text }}, '?') or contains({{ text }}, '？') or contains({{ text }}, '؟'))
{%- endmacro %}
