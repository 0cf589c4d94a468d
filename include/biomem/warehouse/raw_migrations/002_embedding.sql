-- The vector that the source itself keeps for a memory.
alter table raw.memories add column embedding float[];

comment on column raw.memories.embedding is 'The source''s own embedding of the content, in single precision; null when it keeps none';
