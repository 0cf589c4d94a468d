{# A number lies between `low` and `high`, both included, and is no NaN. Null passes. #}
{% test in_range(model, column_name, low, high) %}
select {{ column_name }}
from {{ model }}
where
    isnan({{ column_name }})
    or {{ column_name }} < {{ low }}
    or {{ column_name }} > {{ high }}
{% endtest %}
