-- What communities come down to, the latest replays, and the parameters that the published numbers follow from.

comment on column memory.schema_version.version is 'Number of the migration';
comment on column memory.schema_version.name is 'Its name';

create table memory.gists (
    agent_id text not null,
    community_id text not null,
    medoid_memory_id text,
    medoid_centrality double precision,
    terms text[] not null,
    concepts integer not null,
    memories integer not null,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null,
    primary key (agent_id, community_id)
);

comment on table memory.gists is 'What each community of concepts comes down to, as of the last weekly homeostasis';
comment on column memory.gists.agent_id is 'Whose gist';
comment on column memory.gists.community_id is 'The concept that the community is named after; as in semantic_network';
comment on column memory.gists.medoid_memory_id is 'The memory that stands for the community: it holds most of what binds it together';
comment on column memory.gists.medoid_centrality is 'Sum of the centralities of the community''s concepts that the medoid is about';
comment on column memory.gists.terms is 'The community''s most central concepts, at most gist_terms of them, the most central first';
comment on column memory.gists.concepts is 'Concepts in the community';
comment on column memory.gists.memories is 'Memories about any of them';
comment on column memory.gists.run_id is 'Run that last changed the row';
comment on column memory.gists.params_hash is 'Hash of the parameters of that run';
comment on column memory.gists.as_of is 'Instant that that run computed';

create table memory.replays (
    memory_id text not null,
    cycle_at timestamptz not null,
    agent_id text not null,
    priority double precision not null,
    retention double precision not null,
    need double precision not null,
    stability_days double precision not null,
    consolidation double precision not null,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null,
    primary key (memory_id, cycle_at)
);

comment on table memory.replays is 'The newest 5 replays of each memory in sleep; long_term.replays counts all';
comment on column memory.replays.memory_id is 'The memory';
comment on column memory.replays.cycle_at is 'The sleep cycle that replayed it';
comment on column memory.replays.agent_id is 'Whose memory';
comment on column memory.replays.priority is '(1 - retention) x need x (1 + arousal)';
comment on column memory.replays.retention is 'Retention before the replay, 0 to 1';
comment on column memory.replays.need is 'How likely the memory is to be needed again, 0 to 1';
comment on column memory.replays.stability_days is 'Stability after the replay, in days';
comment on column memory.replays.consolidation is 'How far it was consolidated after the replay, 0 to 1';
comment on column memory.replays.run_id is 'Run that last changed the row';
comment on column memory.replays.params_hash is 'Hash of the parameters of that run';
comment on column memory.replays.as_of is 'Instant that that run computed';

create table memory.parameters (
    name text primary key,
    value jsonb not null,
    unit text not null,
    allowed text not null,
    meaning text not null,
    source text not null,
    basis text not null,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null
);

comment on table memory.parameters is 'The model''s parameters as the last published run had them; memory.retention and memory.association_strength read theirs here';
comment on column memory.parameters.name is 'The parameter, as in dbt_project.yml';
comment on column memory.parameters.value is 'Its value';
comment on column memory.parameters.unit is 'Unit of the value';
comment on column memory.parameters.allowed is 'The values it may have, in words';
comment on column memory.parameters.meaning is 'What it means';
comment on column memory.parameters.source is 'Where the value comes from';
comment on column memory.parameters.basis is 'science (published data) or engineering (our own choice)';
comment on column memory.parameters.run_id is 'Run that last changed the row';
comment on column memory.parameters.params_hash is 'Hash of the parameters of that run';
comment on column memory.parameters.as_of is 'Instant that that run computed';

create function memory.parameter(name text) returns jsonb
language sql stable parallel safe
as $$ select p.value from memory.parameters as p where p.name = parameter.name $$;

comment on function memory.parameter is 'Value of a parameter in the last published run; null before the first';

create or replace function memory.retention(
    stability_days double precision,
    last_accessed_at timestamptz,
    at timestamptz,
    decay double precision default coalesce((memory.parameter('fsrs_weights') ->> 20)::double precision, 0.1542)
) returns double precision
language sql immutable parallel safe
as $$
    select power(
        1 + (power(0.9::double precision, -1 / decay) - 1)
            * greatest(extract(epoch from at - last_accessed_at)::double precision / 86400, 0) / stability_days,
        -decay
    )
$$;

comment on function memory.retention is 'Probability, 0 to 1, that a memory can be recalled at an instant (FSRS-6: .9 after stability_days). decay is the last of fsrs_weights, by default that of the last published run; over very many rows, pass it once';

create or replace function memory.association_strength(
    trace double precision,
    last_coactive_at timestamptz,
    at timestamptz,
    decay_rate double precision default coalesce(memory.parameter('synaptic_decay_rate')::double precision, 0.001)
) returns double precision
language sql immutable parallel safe
as $$
    select 1 - exp(-trace * exp(-decay_rate
        * greatest(extract(epoch from at - last_coactive_at)::double precision / 3600, 0)))
$$;

comment on function memory.association_strength is 'Strength, 0 to 1, of an association at an instant. decay_rate is synaptic_decay_rate, per hour, by default that of the last published run';
