-- Rounds: created > settled (lost), or > played > settled (won); or refused (funds); or > rolling-back > rolled-back.
create schema if not exists bets;

create table if not exists bets.round (
    id text primary key,
    player text not null,
    arm text not null,
    pod text not null,
    game text not null,
    stake bigint not null check (stake > 0),
    win bigint,
    state text not null default 'created',
    created_at timestamptz not null default clock_timestamp(),
    touched_at timestamptz not null default clock_timestamp()
);
create index if not exists round_work on bets.round (touched_at)
where state in ('created', 'played', 'rolling-back');

create or replace function bets.open(
    of_id text, of_player text, of_arm text, of_pod text, of_game text, of_stake bigint
) returns void language plpgsql as $$
begin
    insert into bets.round (id, player, arm, pod, game, stake)
    values (of_id, of_player, of_arm, of_pod, of_game, of_stake) on conflict do nothing;
    if found then
        perform bets.emit('bet.created', 'round', of_id, of_player, of_arm, of_pod,
            jsonb_build_object('game', of_game, 'stake', of_stake));
    end if;
end $$;

-- Claim the key, and open its round if that was granted: one statement, one transaction.
create or replace function bets.open_once(
    of_caller text, of_key text, of_fingerprint text, of_lease float8, of_id text, of_player text, of_arm text,
    of_pod text, of_game text, of_stake bigint
) returns table (verdict text, subject text, status int, body text) language plpgsql as $$
begin
    select c.* into verdict, subject, status, body
    from bets.claim(of_caller, of_key, of_fingerprint, of_id, of_lease) c;
    if verdict = 'begun' then
        perform bets.open(subject, of_player, of_arm, of_pod, of_game, of_stake);
    end if;
    return next;
end $$;

-- Move on from the state before; true when it moved. The end of a round is told to the outbox.
create or replace function bets.move(of_id text, of_before text, of_after text, of_win bigint)
returns boolean language plpgsql as $$
declare
    moved bets.round;
begin
    update bets.round set state = of_after, win = of_win, touched_at = clock_timestamp()
    where id = of_id and state = of_before returning * into moved;
    if moved.id is null then
        return false;
    end if;
    if of_after in ('settled', 'refused', 'rolled-back') then
        perform bets.emit('bet.' || of_after, 'round', moved.id, moved.player, moved.arm, moved.pod,
            jsonb_build_object('game', moved.game, 'stake', moved.stake, 'win', of_win));
    end if;
    return true;
end $$;
