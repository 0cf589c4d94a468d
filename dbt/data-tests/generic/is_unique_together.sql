{# No two rows agree in all of `columns`: the model's grain. Rows failing `where` (a test config) are not looked at. #}
{% test is_unique_together(model, columns) %}

-- by hash first: to group the columns themselves costs nearly twice as much, and hardly ever do two rows share one
select
    {{ columns | join(', ') }},
    count(*) as rows_found
from {{ model }}
where hash({{ columns | join(', ') }}) in (
    select hash({{ columns | join(', ') }}) as hashed
    from {{ model }}
    group by hashed
    having count(*) > 1
)
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
