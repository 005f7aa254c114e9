-- Deposits:    created > pending > captured > credited; or declined. A webhook may overtake the answer to its intent.
-- Withdrawals: created > reserved > submitted > paid > settled, or > failed > released; or refused (funds).
create schema if not exists payments;

create table if not exists payments.deposit (
    id text primary key,
    player text not null,
    arm text not null,
    pod text not null,
    psp text not null,
    amount bigint not null check (amount > 0),
    currency text not null,
    state text not null default 'created',
    created_at timestamptz not null default clock_timestamp(),
    touched_at timestamptz not null default clock_timestamp()
);
create index if not exists deposit_work on payments.deposit (touched_at) where state = 'captured';

create table if not exists payments.withdrawal (
    id text primary key,
    player text not null,
    arm text not null,
    pod text not null,
    psp text not null,
    amount bigint not null check (amount > 0),
    currency text not null,
    state text not null default 'created',
    created_at timestamptz not null default clock_timestamp(),
    touched_at timestamptz not null default clock_timestamp()
);
create index if not exists withdrawal_work on payments.withdrawal (touched_at)
where state in ('created', 'reserved', 'paid', 'failed');

-- Begin a deposit or withdrawal; nothing happens when it exists (a lease of its idempotency key was taken over).
create or replace function payments.open(
    of_kind text, of_id text, of_player text, of_arm text, of_pod text, of_psp text, of_amount bigint, of_currency text
) returns void language plpgsql as $$
begin
    if of_kind = 'deposit' then
        insert into payments.deposit (id, player, arm, pod, psp, amount, currency)
        values (of_id, of_player, of_arm, of_pod, of_psp, of_amount, of_currency) on conflict do nothing;
    else
        insert into payments.withdrawal (id, player, arm, pod, psp, amount, currency)
        values (of_id, of_player, of_arm, of_pod, of_psp, of_amount, of_currency) on conflict do nothing;
    end if;
    if found then
        perform payments.emit(of_kind || '.created', of_kind, of_id, of_player, of_arm, of_pod,
            jsonb_build_object('provider', of_psp, 'amount', of_amount));
    end if;
end $$;

-- Claim the key, and begin what it is for if that was granted: one statement, one transaction.
create or replace function payments.open_once(
    of_caller text, of_key text, of_fingerprint text, of_lease float8, of_kind text, of_id text, of_player text,
    of_arm text, of_pod text, of_psp text, of_amount bigint, of_currency text
) returns table (verdict text, subject text, status int, body text) language plpgsql as $$
begin
    select c.* into verdict, subject, status, body
    from payments.claim(of_caller, of_key, of_fingerprint, of_id, of_lease) c;
    if verdict = 'begun' then
        perform payments.open(of_kind, subject, of_player, of_arm, of_pod, of_psp, of_amount, of_currency);
    end if;
    return next;
end $$;

-- Move on from one of the states before; true when it moved. Tells the outbox.
create or replace function payments.move_deposit(of_id text, of_from text[], of_to text)
returns boolean language plpgsql as $$
declare
    moved payments.deposit;
begin
    update payments.deposit set state = of_to, touched_at = clock_timestamp()
    where id = of_id and state = any (of_from) returning * into moved;
    if moved.id is null then
        return false;
    end if;
    if of_to in ('credited', 'declined') then
        perform payments.emit('deposit.' || of_to, 'deposit', moved.id, moved.player, moved.arm, moved.pod,
            jsonb_build_object('provider', moved.psp, 'amount', moved.amount));
    end if;
    return true;
end $$;

create or replace function payments.move_withdrawal(of_id text, of_from text[], of_to text)
returns boolean language plpgsql as $$
declare
    moved payments.withdrawal;
begin
    update payments.withdrawal set state = of_to, touched_at = clock_timestamp()
    where id = of_id and state = any (of_from) returning * into moved;
    if moved.id is null then
        return false;
    end if;
    if of_to in ('refused', 'settled', 'released') then
        perform payments.emit('withdrawal.' || of_to, 'withdrawal', moved.id, moved.player, moved.arm, moved.pod,
            jsonb_build_object('provider', moved.psp, 'amount', moved.amount));
    end if;
    return true;
end $$;

-- A partner's event: its effect and its inbox row together. Answers taken, repeat, unknown (come again later) or
-- differs (another partner or amount).
create or replace function payments.take_event(
    of_psp text, of_webhook text, of_kind text, of_id text, of_amount bigint, of_from text[], of_to text
) returns text language plpgsql as $$
declare
    known_psp text;
    known_amount bigint;
begin
    if of_kind = 'deposit' then
        select psp, amount into known_psp, known_amount from payments.deposit where id = of_id;
    else
        select psp, amount into known_psp, known_amount from payments.withdrawal where id = of_id;
    end if;
    if known_psp is null then
        return 'unknown';
    elsif known_psp <> of_psp or known_amount <> of_amount then
        return 'differs';
    elsif not payments.accept(of_psp, of_webhook) then
        return 'repeat';
    elsif of_kind = 'deposit' then
        perform payments.move_deposit(of_id, of_from, of_to);
    else
        perform payments.move_withdrawal(of_id, of_from, of_to);
    end if;
    return 'taken';
end $$;
