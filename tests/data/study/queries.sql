create extension adminpack
create extension amcheck
create extension bloom
create extension btree_gin
create extension btree_gist
create extension citext
create extension cube
create extension dblink
create extension dict_int
create extension dict_xsyn
create extension file_fdw
create extension fuzzystrmatch
create extension hstore
create extension intarray
create extension isn
create extension lo
create extension ltree
create extension pageinspect
create extension pg_buffercache
create extension pg_freespacemap
create extension pg_prewarm
create extension pg_stat_statements
create extension pg_surgery
create extension pg_trgm
create extension pg_visibility
create extension pg_walinspect
create extension pgcrypto
create extension pgrowlocks
create extension pgstattuple
create extension postgres_fdw
create extension seg
create extension sslinfo
create extension tablefunc
create extension tcn
create extension tsm_system_rows
create extension tsm_system_time
create extension unaccent
create extension earthdistance
select 'a=>1'::hstore -> 'a', 'wrd' % 'word', unaccent('Hôtel'), 'a.b'::ltree @> 'a.b.c'
select crypt('x', '$1$saltsalt$'), encode(digest('x', 'sha512'), 'hex'), soundex('word')
select encode(encrypt('x', 'k', 'aes'), 'hex'), armor('x')
create table t (n integer primary key, s text, j jsonb)
insert into t select n, 'word ' || n, jsonb_build_object('n', n) from generate_series(1, 5000) n
create index on t using gin (s gin_trgm_ops); create index on t using hash (s)
create index on t using brin (n); create index on t using gist (s gist_trgm_ops)
analyze t; vacuum full t; cluster t using t_pkey; reindex table t; checkpoint
explain (costs off) select * from t where n = 5
set jit_above_cost = 0; set jit_optimize_above_cost = 0; set jit_inline_above_cost = 0; select sum(n), max(length(s)) from t
set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; select count(*) from t
copy t to '/tmp/t.csv' csv header; copy t (n) to '/tmp/t.bin' binary
copy (select 1) to program 'read line; echo "$line" > /tmp/t.out'
create table u (like t); copy u from '/tmp/t.csv' csv header; select count(*) from u
select pg_read_file('/tmp/t.out')
create server f foreign data wrapper file_fdw; create foreign table g (n text) server f options (filename '/tmp/t.out'); select * from g
select dblink_connect_u('host=127.0.0.1 user=postgres'), * from dblink('host=127.0.0.1 user=postgres', 'select 42') as r(n integer)
select to_tsvector('english', 'walking houses'), plainto_tsquery('english', 'x')
select to_tsvector('german', 'walking houses'), plainto_tsquery('german', 'x')
select to_tsvector('french', 'walking houses'), plainto_tsquery('french', 'x')
select to_tsvector('russian', 'walking houses'), plainto_tsquery('russian', 'x')
select to_tsvector('turkish', 'walking houses'), plainto_tsquery('turkish', 'x')
select to_tsvector('tamil', 'walking houses'), plainto_tsquery('tamil', 'x')
select to_tsvector('simple', 'walking houses'), plainto_tsquery('simple', 'x')
select ts_headline('english', 'the fat cats', to_tsquery('cat'))
select convert_to('grüß', 'LATIN1')
select convert_to('grüß', 'LATIN9')
select convert_to('grüß', 'WIN1252')
select convert_to('grüß', 'UTF8')
select convert_to('grüß', 'MULE_INTERNAL')
select convert_to('grüß', 'LATIN2')
select convert_to('日本', 'EUC_JP')
select convert_to('日本', 'SJIS')
select convert_to('日本', 'EUC_JIS_2004')
select convert_to('日本', 'GB18030')
select convert_to('日本', 'BIG5')
select convert_to('привет', 'KOI8R')
select convert_to('привет', 'WIN1251')
select convert_to('привет', 'ISO_8859_5')
select convert_to('한국', 'UHC')
select convert_to('α', 'ISO_8859_7')
select convert_to('א', 'WIN1255')
select 'ä' < 'z' collate "C", 'a' < 'B' collate "de-x-icu", 'ä' < 'z' collate "sv-x-icu"
create collation numeric (provider = icu, locale = 'en-u-kn-true'); select 'a10' > 'a9' collate numeric
create database latin template template0 encoding 'LATIN1' locale 'C'
create database icu template template0 locale_provider icu icu_locale 'de' locale 'C.UTF-8'
select timestamptz '2025-03-09 12:00+00' at time zone 'America/St_Johns'
select count(*) > 500 from pg_timezone_names; select count(*) > 50 from pg_timezone_abbrevs
set timezone = 'Asia/Kathmandu'; select extract(timezone from now())
set lc_time = 'C.UTF-8'; select to_char(date '2024-02-29', 'TMDay TMMonth')
set lc_messages = 'de_DE.UTF-8'; select 1
select to_char(1234.5, 'FM9G999D00'), money '12.34'
select jsonb_path_query('{"a": [1, {"b": 2}]}', '$.**.b'), '{"a":1}'::jsonb || '{"b":2}'
select xmlelement(name a, 'b'), xpath('//b/text()', '<a><b>c</b></a>')
select regexp_replace('ÄbC', '[[:upper:]]', '_', 'g'), 'ß' ~* 'ẞ', initcap('élan')
create function f() returns integer language plpgsql as $$ declare r integer; begin select n into r from t where n = 1; raise notice 'said'; return r; exception when others then return 0; end $$; select f()
create function g() returns trigger language plpgsql as $$ begin return new; end $$; create trigger h before insert on t for each row execute function g(); insert into t values (0)
begin; prepare transaction 'p'
select lo_from_bytea(4242, 'large'), lo_get(4242)
select pg_create_logical_replication_slot('s', 'test_decoding')
create publication p for table t; create role r login password 'word'; set role r; select 1
notify l, 'said'; select pg_notify('l', 'x')
create table parted (n integer) partition by range (n); create table part partition of parted for values from (0) to (9); insert into parted values (5); select * from parted
create materialized view m as select 1; refresh materialized view m; select * from m
with recursive w(n) as (select 1 union all select n + 1 from w where n < 9) select sum(n) from w
select percentile_cont(0.5) within group (order by n), rank() over () from t group by n limit 1
select inet '10.0.0.1/8', macaddr '08:00:2b:01:02:03', point '(1,2)' <-> point '(4,6)', tsrange('now', null) is null
select pg_reload_conf(), pg_rotate_logfile() is null
select 1 / 0
load 'auto_explain'; set auto_explain.log_min_duration = 0; select 1
load 'plpgsql'; load 'passwordcheck'
select pg_stat_statements_reset() is null
select pg_switch_wal() is null; select pg_is_in_recovery()
