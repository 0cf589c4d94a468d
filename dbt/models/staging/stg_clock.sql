select
    stage,
    agent_id,
    as_of,
    previous_as_of,
    batch_from,
    batch_upto,
    replay_sequence_from,
    is_in_run,
    completed_sequence
from {{ raw_table('agent_clock') }}
