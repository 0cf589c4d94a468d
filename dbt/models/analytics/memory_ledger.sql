{{
    config(
        materialized = 'incremental',
        unique_key = 'decision_id',
        incremental_strategy = 'merge'
    )
}}

{%- set removed = 'removed for good' %}

with clock as (

    select *
    from {{ ref('stg_clock') }}
    where
        stage = 'nightly_decay'
        and {{ in_slice('agent_id') }}

),

repeats as (

    select *
    from {{ ref('memory_repeats') }}

),

lapses as (

    select
        memory_id,
        agent_id,
        generate_subscripts(lapses, 1) as lapse,
        unnest(lapses, max_depth := 2)
    from {{ ref('memory_retention') }}
    where lapses is not null

),

prunes as (

    select *
    from {{ ref_if_built(ref('association_homeostasis'), {
        'agent_id': 'varchar', 'memory_id': 'varchar', 'associated_memory_id': 'varchar',
        'strength_when_pruned': 'double', 'is_pruned': 'boolean', 'pruned_at': 'timestamptz'}) }}
    where is_pruned

),

-- A deletion that was taken back was one all the same.
deletions as (

    select
        memory_id,
        agent_id,
        occasion,
        deleted_at,
        'deleted until ' || {{ utc_text('undeleted_at') }} as result
    from {{ raw_table('deletions') }}

    union all

    select
        gone.memory_id,
        gone.agent_id,
        1 + count(former.occasion),
        gone.deleted_at,
        'deleted'
    from {{ ref('stg_memories') }} as gone
    left join {{ raw_table('deletions') }} as former
        on gone.memory_id = former.memory_id
    where not gone.is_live
    group by gone.memory_id, gone.agent_id, gone.deleted_at

),

decisions as (

    select
        'merge' as decision,
        'short_term_memory' as stage,
        memory_id,
        agent_id,
        cast(null as varchar) as other_memory_id,
        1 as occasion,
        occurred_at as decided_at,
        json_object('kind', repeat_kind, 'similarity', similarity) as inputs,
        {{ parameter('repeat_similarity') }} as threshold,
        'rehearses ' || repeat_of as result
    from repeats
    where
        repeat_of is not null
        and is_live
        and is_seen

    union all

    select
        'supersede',
        'short_term_memory',
        memory_id,
        agent_id,
        superseded_by,
        1,
        valid_to,
        json_object('subject', subject, 'attribute', attribute, 'value', value),
        null,
        'superseded'
    from {{ ref('memory_supersessions') }}
    where
        is_current
        and is_superseded

    union all

    select
        'promote',
        'consolidation',
        memory_id,
        agent_id,
        null,
        1,
        promoted_at,
        json_object('consolidation', consolidation, 'consolidation_sum', consolidation_sum, 'replays', replays),
        {{ parameter('long_term_memory_threshold') }},
        'long-term'
    from {{ ref_if_built(ref('ltm_memories'), {
        'memory_id': 'varchar', 'agent_id': 'varchar', 'promoted_at': 'timestamptz', 'consolidation': 'double',
        'consolidation_sum': 'double', 'replays': 'integer'}) }}

    union all

    select
        'demote',
        'nightly_decay',
        memory_id,
        agent_id,
        null,
        lapse,
        demoted_at,
        case
            when position is null then
                json_object(
                    'retention', retention, 'stability_days', stability_days,
                    'last_accessed_at', {{ utc_text('last_accessed_at') }}
                )
            else json_object(
                'retention', retention, 'stability_days', stability_days,
                'last_accessed_at', {{ utc_text('last_accessed_at') }},
                'rank', position, 'budget', kept, 'memories', memories,
                'retention_expected', expected_retention,
                'horizon_days', {{ parameter('memory_budget_horizon_days') }}
            )
        end,
        case when position is null then {{ parameter('forgetting_threshold') }} else kept end,
        case when position is null then 'forgotten' else 'forgotten, over budget' end
    from lapses

    union all

    select
        'restore',
        'nightly_decay',
        memory_id,
        agent_id,
        null,
        lapse,
        restored_at,
        json_object('demoted_at', {{ utc_text('demoted_at') }}),
        null,
        'live'
    from lapses
    where restored_at is not null

    union all

    select
        'prune',
        'weekly_homeostasis',
        memory_id,
        agent_id,
        associated_memory_id,
        1,
        pruned_at,
        json_object('strength', strength_when_pruned),
        {{ parameter('association_pruning_threshold') }},
        'pruned'
    from prunes

    union all

    select
        'delete',
        'short_term_memory',
        memory_id,
        agent_id,
        null,
        -- from the second on below zero: removals count on from 2
        case when occasion = 1 then 1 else -occasion end,
        deleted_at,
        json_object(),
        null,
        result
    from deletions

    union all

    -- Removed for good: that happened when it was asked for, whatever instant is computed.
    select
        'delete',
        'short_term_memory',
        memory_id,
        agent_id,
        null,
        1 + row_number() over (partition by memory_id order by forgotten_at),
        forgotten_at,
        json_object(),
        null,
        '{{ removed }}'
    from {{ raw_table('receipts') }}

),

keyed as (

    select
        decisions.*,
        md5(concat_ws(chr(31), decision, decisions.agent_id, memory_id, other_memory_id, occasion)) as decision_key
    from decisions
    inner join clock
        on decisions.agent_id = clock.agent_id
    where
        {{ in_slice('decisions.agent_id') }}
        and (
            decisions.decided_at <= clock.as_of
            or decisions.result = '{{ removed }}'
        )

),

identified as (

    select
        *,
        md5(concat_ws(chr(31), decision_key, epoch_us(decided_at), inputs, threshold, result)) as decision_id
    from keyed

),

{%- if is_incremental() %}

stored as (

    select *
    from {{ this }}
    where
        is_current
        and {{ in_slice('agent_id') }}

),

taken as (

    select
        identified.*,
        stored.decision_id as revises,
        true as is_current
    from identified
    left join stored
        on identified.decision_key = stored.decision_key
    where
        stored.decision_id is null
        or stored.decision_id <> identified.decision_id

),

-- What no longer holds stays, marked, beside a row that says so when nothing took its place.
overtaken as (

    select stored.*
    from stored
    left join identified
        on stored.decision_id = identified.decision_id
    where identified.decision_id is null

),

revoked as (

    select
        overtaken.*
    from overtaken
    left join identified
        on overtaken.decision_key = identified.decision_key
    where identified.decision_key is null

),

final as (

    select
        decision_id,
        decision_key,
        decision,
        stage,
        memory_id,
        agent_id,
        other_memory_id,
        occasion,
        decided_at,
        inputs,
        threshold,
        result,
        revises,
        is_current,
        {{ run_column('nightly_decay', 'params_hash') }} as params_hash,
        {{ run_column('nightly_decay', 'run_id') }} as run_id,
        {{ as_of('nightly_decay') }} as as_of
    from taken

    union all

    select * replace (false as is_current)
    from overtaken

    union all

    select
        md5(decision_id || ' revoked'),
        decision_key,
        decision,
        stage,
        memory_id,
        agent_id,
        other_memory_id,
        occasion,
        decided_at,
        inputs,
        threshold,
        'revoked',
        decision_id,
        false,
        {{ run_column('nightly_decay', 'params_hash') }},
        {{ run_column('nightly_decay', 'run_id') }},
        {{ as_of('nightly_decay') }}
    from revoked

)

{%- else %}

final as (

    select
        decision_id,
        decision_key,
        decision,
        stage,
        memory_id,
        agent_id,
        other_memory_id,
        occasion,
        decided_at,
        inputs,
        threshold,
        result,
        cast(null as varchar) as revises,
        true as is_current,
        {{ run_column('nightly_decay', 'params_hash') }} as params_hash,
        {{ run_column('nightly_decay', 'run_id') }} as run_id,
        {{ as_of('nightly_decay') }} as as_of
    from identified

)

{%- endif %}

select
    decision_id,
    decision_key,
    decision,
    stage,
    memory_id,
    agent_id,
    other_memory_id,
    cast(occasion as integer) as occasion,
    decided_at,
    cast(inputs as varchar) as inputs,
    threshold,
    result,
    revises,
    is_current,
    params_hash,
    run_id,
    as_of
from final
