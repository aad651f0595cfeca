#!lua flags=no-writes
-- Reads what the page shows of an instance in one call. Of lists it reads only the length.
--
-- KEYS  lease, link, contact, intake, events, waiting, dead, mirror, mod, failed
-- ARGV  1 kept_ms  age up to which failed commands count
--
-- Returns {now_ms, uplink, link state, game server id, what is wrong with the link, contact_ms, events, bytes, oldest_ms,
-- commands, dead letters, players, mod version, hold_ms, address of the mod, made up, failed commands}; "" for what is unknown.
-- oldest_ms: when the oldest waiting event was accepted. made up: when (s) a position was last made up, a blank, and the
-- number of such positions.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local link = redis.call('HMGET', KEYS[2], 'state', 'game_server_id', 'why')
local intake = redis.call('HMGET', KEYS[4], 'events', 'bytes')
local first = redis.call('XRANGE', KEYS[5], '-', '+', 'COUNT', 1)[1]
local mod = redis.call('HMGET', KEYS[9], 'version', 'hold_ms', 'address')
return {
  now_ms, redis.call('HGET', KEYS[1], 'uplink') or '',
  link[1] or '', link[2] or '', link[3] or '',
  redis.call('GET', KEYS[3]) or '', intake[1] or '', intake[2] or '', first and string.match(first[1], '^%d+') or '',
  redis.call('ZCOUNT', KEYS[6], '(' .. now_ms, '+inf'), redis.call('XLEN', KEYS[7]), redis.call('HGET', KEYS[8], 'players') or '',
  mod[1] or '', mod[2] or '', mod[3] or '', redis.call('HGET', KEYS[8], 'made_up') or '',
  redis.call('ZCOUNT', KEYS[10], now_ms - ARGV[1], '+inf'),
}
