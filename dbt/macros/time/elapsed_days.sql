{# Fractional days between two instants given in microseconds since the epoch, exact to the microsecond. #}
{% macro elapsed_days(since_us, until_us) -%}
((({{ until_us }}) - ({{ since_us }})) / 864e8)
{%- endmacro %}
