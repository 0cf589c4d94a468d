{# An instant as ISO 8601 text, in UTC whatever the session's time zone: what holds it is the same for whoever builds it. #}
{% macro utc_text(instant) -%}
strftime(timezone('UTC', {{ instant }}), '%Y-%m-%dT%H:%M:%S.%f+00:00')
{%- endmacro %}
