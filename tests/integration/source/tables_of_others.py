"""Tables as other memory systems make them: their columns, types, keys and defaults, without their triggers."""

from __future__ import annotations

import json

CODEX = """
    create table memories (
        id uuid primary key default gen_random_uuid(), content text not null, content_hash varchar(64) not null unique,
        context text not null, summary text not null, metadata jsonb default '{}', tags text[] default '{}',
        created_at timestamptz not null default now(), updated_at timestamptz not null default now())
"""
# its tiered releases, with the columns that later migrations add
CODEX_TIERED = """
    create extension if not exists vector;
    create type memory_tier as enum ('working', 'warm', 'cold', 'frozen');
    create type memory_status as enum ('active', 'migrating', 'archived', 'deleted');
    create table memories (
        id uuid primary key default gen_random_uuid(), content text not null, content_hash varchar(64) not null,
        embedding vector(3), tier memory_tier not null default 'working',
        status memory_status not null default 'active',
        importance_score float not null default 0.5 check (importance_score >= 0 and importance_score <= 1),
        access_count integer not null default 0, last_accessed_at timestamptz, metadata jsonb not null default '{}',
        parent_id uuid references memories (id) on delete cascade, created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(), expires_at timestamptz, recency_score float,
        relevance_score float,
        combined_score float generated always as (
            greatest(0.0, least(1.0, 0.333 * coalesce(recency_score, 0.0) + 0.333 * coalesce(importance_score, 0.0)
                + 0.334 * coalesce(relevance_score, 0.0)))
        ) stored,
        total_retrieval_attempts integer default 0, last_retrieval_at timestamptz, retrieval_strength real default 0.0,
        unique (content_hash, tier), check (char_length(content) <= 1048576))
"""
MEM0 = "create extension if not exists vector; create table mem0 (id uuid primary key, vector vector(3), payload jsonb)"
MEM0_ID = "00000000-0000-0000-0000-00000000000{}"


def mem0_rows():
    """A row as Mem0's Python writes it, and one of its TypeScript."""
    python = {
        "data": "Likes oolong",
        "hash": "5d41402abc4b2a76b9719d911017c592",
        "created_at": "2025-06-01T05:00:00.123456-07:00",
        "updated_at": "2025-06-02T05:00:00-07:00",
        "user_id": "noor",
        "run_id": "r1",
        "role": "user",
        "category": "tea",
    }
    typescript = {
        "data": "Lives in Leiden",
        "hash": "7d793037a0760186574b0282f2f435e7",
        "createdAt": "2025-06-03T12:00:00.000Z",
        "userId": "noor",
        "agentId": "milo",
    }
    return [
        (MEM0_ID.format(1), [0.1, 0.2, 0.3], json.dumps(python)),
        (MEM0_ID.format(2), None, json.dumps(typescript)),
    ]
