-- Whoever asks how fresh a rhythm is looks for its last publication among those of all the others.

create index runs_by_stage on memory.runs (stage, sequence desc);
