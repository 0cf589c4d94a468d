-- What was tried with other parameters, and what would have become of the memories.
create table memory.what_ifs (
    run_id text primary key,
    agent_id text,
    as_of timestamptz not null,
    since timestamptz,
    params_hash text not null,
    parameters jsonb not null,
    counts jsonb not null,
    differences jsonb not null,
    oracles jsonb not null,
    asked_by text,
    seconds double precision not null,
    computed_at timestamptz not null default now(),
    decision text check (decision in ('promoted', 'rejected')),
    decided_by text,
    decided_at timestamptz
);
create index what_ifs_by_age on memory.what_ifs (computed_at desc);

comment on table memory.what_ifs is 'The newest 100 trials of other parameters, each beside the memory with the parameters of that time (now)';
comment on column memory.what_ifs.run_id is 'Run of the DAG what_if';
comment on column memory.what_ifs.agent_id is 'Whose memories were computed; null: all';
comment on column memory.what_ifs.as_of is 'Instant up to which both sides were computed';
comment on column memory.what_ifs.since is 'Differences were counted from this instant on; null: all';
comment on column memory.what_ifs.params_hash is 'Hash of the parameters that were tried';
comment on column memory.what_ifs.parameters is 'Each changed parameter as {"now": value, "then": value}';
comment on column memory.what_ifs.counts is 'What was counted on either side, as {"now": count, "then": count}';
comment on column memory.what_ifs.differences is 'How many memories fare differently, by how';
comment on column memory.what_ifs.oracles is 'Every measure against published human data: value, RMSE and verdict on either side';
comment on column memory.what_ifs.asked_by is 'Who started the run';
comment on column memory.what_ifs.seconds is 'How long it took';
comment on column memory.what_ifs.computed_at is 'When it was done (wall clock, for people; nothing is computed from it)';
comment on column memory.what_ifs.decision is 'promoted: these are the pipeline''s parameters since; rejected; null: undecided';
comment on column memory.what_ifs.decided_by is 'Who decided';
comment on column memory.what_ifs.decided_at is 'When';

create table memory.what_if_memories (
    run_id text not null,
    difference text not null,
    place integer not null,
    memory_id text not null,
    agent_id text not null,
    now jsonb not null,
    "then" jsonb not null,
    primary key (run_id, difference, place)
);

comment on table memory.what_if_memories is 'Some of the memories that fare differently in a trial, the clearest cases first; their texts are in memories';
comment on column memory.what_if_memories.run_id is 'The trial';
comment on column memory.what_if_memories.difference is 'forgotten, kept, promoted, not_promoted, in_mind, out_of_mind, merged, apart, superseded or restated';
comment on column memory.what_if_memories.place is 'Its place among those, from 1';
comment on column memory.what_if_memories.memory_id is 'The memory';
comment on column memory.what_if_memories.agent_id is 'Whose it is';
comment on column memory.what_if_memories.now is 'State, stability, retention and instants with the parameters of now';
comment on column memory.what_if_memories."then" is 'The same with those that were tried';
