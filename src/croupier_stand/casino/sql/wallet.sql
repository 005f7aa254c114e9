-- A double-entry ledger. Every transfer has two entries that sum to zero; every account is a chain of entries with
-- gapless versions, each carrying the balance after it. Money is in cents.
create schema if not exists wallet;

create table if not exists wallet.account (
    id text primary key,
    kind text not null check (kind in ('player', 'house')),
    balance bigint not null default 0,
    version bigint not null default 0,
    check (kind = 'house' or balance >= 0)
);

create table if not exists wallet.transfer (
    id bigint generated always as identity primary key,
    caller text not null,
    key text not null,
    fingerprint text not null,
    kind text not null,
    reference text not null,
    player text not null,
    arm text not null,
    amount bigint not null check (amount > 0),
    outcome text not null,
    balance bigint not null,
    at timestamptz not null default clock_timestamp(),
    unique (caller, key)
);
create index if not exists transfer_reference on wallet.transfer (reference);

create table if not exists wallet.entry (
    account text not null references wallet.account,
    version bigint not null,
    transfer bigint not null references wallet.transfer,
    amount bigint not null,
    balance_after bigint not null,
    primary key (account, version)
);
create index if not exists entry_transfer on wallet.entry (transfer);

-- What is known of a game round. A rollback that comes before its bet leaves a tombstone: that bet is refused later.
create table if not exists wallet.round (
    reference text primary key,
    player text not null,
    state text not null check (state in ('bet', 'refused', 'rolled-back', 'tombstone')),
    amount bigint not null
);

-- One transfer, once per (caller, key). The key is inserted first, so that of racing callers one does the work and the
-- others wait for its answer; then accounts are locked in the order of their ids.
-- Outcomes: posted, refused (funds), tombstoned, nothing (a rollback with nothing to give back), mismatch.
create or replace function wallet.post(
    of_caller text, of_key text, of_fingerprint text, of_kind text, of_reference text, of_player text,
    of_arm text, of_pod text, of_debit text, of_credit text, of_amount bigint, of_facts jsonb
) returns table (outcome text, transfer bigint, balance bigint, replayed boolean) language plpgsql as $$
#variable_conflict use_column
declare
    new_id bigint;
    result text := 'posted';
    known text;
    moved bigint := of_amount;
    debited wallet.account;
    after_debit wallet.account;
    after_credit wallet.account;
    left_over bigint;
begin
    insert into wallet.transfer (caller, key, fingerprint, kind, reference, player, arm, amount, outcome, balance)
    values (of_caller, of_key, of_fingerprint, of_kind, of_reference, of_player, of_arm, of_amount, 'posted', 0)
    on conflict (caller, key) do nothing returning id into new_id;
    if new_id is null then
        return query select case when t.fingerprint = of_fingerprint then t.outcome else 'mismatch' end,
            t.id, t.balance, true from wallet.transfer t where t.caller = of_caller and t.key = of_key;
        return;
    end if;

    if of_kind = 'bet' then
        insert into wallet.round values (of_reference, of_player, 'bet', of_amount) on conflict do nothing;
        if not found then
            result := 'tombstoned';
        end if;
    elsif of_kind = 'rollback' then
        insert into wallet.round as r values (of_reference, of_player, 'tombstone', 0)
        on conflict (reference) do update set state = 'rolled-back' where r.state = 'bet' and r.player = of_player
        returning r.state, r.amount into known, moved;
        if known is distinct from 'rolled-back' then
            result := 'nothing';
        end if;
    end if;

    insert into wallet.account (id, kind)
    select unnest, case when unnest like 'player:%' then 'player' else 'house' end
    from unnest(array[of_debit, of_credit]) where not exists (select from wallet.account where id = unnest)
    order by 1 on conflict do nothing;

    if result = 'posted' then
        perform from wallet.account where id in (of_debit, of_credit) order by id for update;
        select * into debited from wallet.account where id = of_debit;
        if debited.kind = 'player' and debited.balance < moved then
            result := 'refused';
            if of_kind = 'bet' then
                update wallet.round set state = 'refused' where reference = of_reference;
            end if;
        end if;
    end if;

    if result = 'posted' then
        update wallet.account set balance = balance - moved, version = version + 1 where id = of_debit
        returning * into after_debit;
        update wallet.account set balance = balance + moved, version = version + 1 where id = of_credit
        returning * into after_credit;
        insert into wallet.entry (account, version, transfer, amount, balance_after) values
            (of_debit, after_debit.version, new_id, -moved, after_debit.balance),
            (of_credit, after_credit.version, new_id, moved, after_credit.balance);
    end if;

    select a.balance into left_over from wallet.account a where a.id = 'player:' || of_player;
    update wallet.transfer t set outcome = result, balance = coalesce(left_over, 0),
        amount = case when moved > 0 then moved else t.amount end
    where t.id = new_id;
    perform wallet.emit('transfer.' || result, 'transfer', of_reference, of_player, of_arm, of_pod,
        of_facts || jsonb_build_object('kind', of_kind, 'amount', coalesce(moved, 0), 'transfer', new_id));
    return query select result, new_id, coalesce(left_over, 0::bigint), false;
end $$;
