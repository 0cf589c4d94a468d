-- Up to where a publication has looked at what a table is made of, so that the next one looks only at what is newer.
create table published.seen (
    table_name varchar not null primary key,
    sequence bigint not null,
    batch_id bigint not null
);

comment on table published.seen is 'Per table, from which sequence and batch on rows have not been compared yet; a table without a row is compared whole';
comment on column published.seen.sequence is 'Every row written since bears this sequence or a higher one';
comment on column published.seen.batch_id is 'Every row pulled since is of this batch or a later one';
