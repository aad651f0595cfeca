#!lua flags=no-writes
-- Reads what the page shows of an instance in one call. Of lists it reads only the length.
--
-- KEYS  lease, link, contact, intake, events, waiting, dead, mirror, mod, failed
-- ARGV  1 kept_ms  age up to which failed commands count
--
-- Returns {now_ms, uplink, link state, game server id, what is wrong with the link, contact_ms, events, bytes, oldest_ms,
-- commands, dead letters, players, mod version, hold_ms, address of the mod, made up, made_up_ms, failed commands}. An
-- unknown text is "", an unknown number is nil.
-- oldest_ms: when the oldest waiting event was accepted. made up: the number of positions that were made up, and when last.
local function number(text)
  return tonumber(text or '') or false
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local link = redis.call('HMGET', KEYS[2], 'state', 'game_server_id', 'why')
local intake = redis.call('HMGET', KEYS[4], 'events', 'bytes')
local first = redis.call('XRANGE', KEYS[5], '-', '+', 'COUNT', 1)[1]
local accepted = first and (first[2][4] or string.match(first[1], '^%d+')) -- an older version stored no time beside it
local mirror = redis.call('HMGET', KEYS[8], 'players', 'made_up')
local mod = redis.call('HMGET', KEYS[9], 'version', 'hold_ms', 'address')
local made_up_s, made_up = string.match(mirror[2] or '', '^(%S+) (%d+)')
return {
  now_ms, redis.call('HGET', KEYS[1], 'uplink') or '',
  link[1] or '', link[2] or '', link[3] or '',
  number(redis.call('GET', KEYS[3])), number(intake[1]) or 0, number(intake[2]) or 0, number(accepted),
  redis.call('ZCOUNT', KEYS[6], '(' .. now_ms, '+inf'), redis.call('XLEN', KEYS[7]), number(mirror[1]),
  mod[1] or '', number(mod[2]), mod[3] or '',
  number(made_up) or 0, made_up_s and made_up_s * 1000 or false,
  redis.call('ZCOUNT', KEYS[10], now_ms - ARGV[1], '+inf'),
}
