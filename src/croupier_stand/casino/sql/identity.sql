create schema if not exists identity;

create table if not exists identity.player (
    id text primary key,
    password text not null
);
