{# Every value lies between `low` and `high`, both allowed, and is a number; null is allowed. #}
{% test is_between(model, column_name, low, high) %}

select {{ column_name }}
from {{ model }}
where
    {{ column_name }} < {{ low }}
    or {{ column_name }} > {{ high }}
    or isnan({{ column_name }}::double)

{% endtest %}
