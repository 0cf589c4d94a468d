-- How far a model of a sleeping stage has come in its run, where it computes some agents at a time.
create table raw.slices (
    model varchar not null primary key,
    stage varchar not null,
    agents_after varchar,
    agents_upto varchar
);

comment on table raw.slices is 'The slice of agents that a model is computing, or is to compute next; a model without a row computes all';
comment on column raw.slices.agents_after is 'The agents up to this one, in the order of their ids, were computed in this run; null when none was';
comment on column raw.slices.agents_upto is 'Last agent of the slice; null when it goes to the end';
