#!lua flags=allow-oom
-- Stores the mod's result of a command: handed -> answered (protocol/command_states.py). Only the first result counts.
-- It may run when the memory is full: the command has run, Takaro has to hear of it, and the result is deleted soon.
--
-- KEYS  handed, results, contact, players, ended
-- ARGV  1 operation id, 2 outcome (JSON), 3 keep_ms, 4 channel, 5 slug, 6 contact_every_ms,
--       7 keep_newest  number of results that are kept beyond keep_ms, 8 keys_expire_ms  after which unused keys expire,
--       then players: gameId, record; an empty record deletes the player
--
-- Returns 1, or 0 for a result that is late, repeated or of another instance.
local handed, results, contact, players, ended = unpack(KEYS)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local heard_ms = tonumber(redis.call('GET', contact)) or 0
if now_ms < heard_ms or now_ms - heard_ms >= tonumber(ARGV[6]) then -- hand_out.lua
  redis.call('SET', contact, string.format('%d', now_ms))
end
-- The deadline is not checked here, because this clock may have been set: the uplink that waits has its own clock.
if redis.call('ZREM', handed, ARGV[1]) == 0 then return 0 end
redis.call('ZADD', ended, now_ms, ARGV[1])
redis.call('PEXPIRE', ended, ARGV[8])

for i = 9, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', players, ARGV[i])
  else
    redis.call('HSET', players, ARGV[i], ARGV[i + 1])
  end
end

-- A result is of no use once Takaro has given up. An uplink that died leaves some of them.
if redis.call('XLEN', results) >= tonumber(ARGV[7]) then
  redis.call('XTRIM', results, 'MINID', string.format('%d', now_ms - ARGV[3]))
end
redis.call('XADD', results, '*', 'operation', ARGV[1], 'outcome', ARGV[2])
redis.call('PEXPIRE', results, ARGV[8])
redis.pcall('PUBLISH', ARGV[4], ARGV[5]) -- as in append.lua
return 1
