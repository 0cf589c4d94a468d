{# The grain of a model: no two rows agree in all the `columns`. #}
{% test unique_combination(model, columns) %}

-- by hash first: to group the columns themselves costs nearly twice as much, and hardly ever do two rows share one
select
    {{ columns | join(', ') }},
    count(*) as copies
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
