with memories as (

    select
        *,
        {{ clamp('case when isnan(importance) then null else importance end') }} as importance_share,
        coalesce({{ clamp('case when isnan(arousal) then null else arousal end') }}, text_arousal, 0) as arousal_share
    from {{ raw_table('memories') }}
    -- a backfilled row is no memory before its text was encoded
    where text_arousal is not null

)

select
    memory_id,
    agent_id,
    session_id,
    speaker,
    content,
    occurred_at,
    updated_at,
    deleted_at,
    deleted_at is null as is_live,
    importance_share as importance,
    arousal_share as arousal,
    tags,
    metadata,
    batch_id
from memories
