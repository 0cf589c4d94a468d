{{ config(materialized='table') }}

-- From one second to ten years, twenty points a decade, and the instant itself.
with delays as (

    select 0.0 as elapsed_s
    union all
    select pow(10.0, step / 20.0)
    from (select unnest(range(0, 171)) as step)

),

profiles as (

    select
        'fsrs' as profile,
        unnest([1, 2, 3, 4]) as grade
    union all
    select 'ebbinghaus', null
    union all
    select 'short_term', null

),

curves as (

    select
        profile,
        grade,
        profile || coalesce('_' || ['again', 'hard', 'good', 'easy'][grade], '') as curve,
        case when profile = 'fsrs' then {{ first_stability('grade', '0.0') }} end as stability_days
    from profiles

)

select
    curves.curve,
    curves.profile,
    curves.grade,
    curves.stability_days,
    delays.elapsed_s,
    case curves.profile
        when 'fsrs' then {{ retention('delays.elapsed_s / 86400', 'curves.stability_days') }}
        when 'ebbinghaus' then {{ ebbinghaus_retention('delays.elapsed_s') }}
        when 'short_term' then {{ short_term_retention('delays.elapsed_s') }}
    end as retention
from curves
cross join delays
