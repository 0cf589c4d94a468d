{# No two rows agree in all of `columns`: the model's grain. Rows failing `where` (a test config) are not looked at. #}
{% test is_unique_together(model, columns) %}

select
    {{ columns | join(', ') }},
    count(*) as rows_found
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
